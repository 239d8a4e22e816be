//! The samples in deploy/dev are the documentation of the configuration: they are whole, they are true, and they work.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use service::config::{self, ServiceConfig};
use toml::{Table, Value};

use crate::{
    demo_folder::{demo, inside},
    mentioned::left_out,
    run::countersign,
};

/// A sample, and its service's way to read it.
struct Sample {
    service: &'static str,
    /// Which company's it is in a demo.
    company: &'static str,
    text: String,
    /// Reads as the service does: what was read, for comparisons, or the refusal.
    read: fn(&str) -> Result<String, String>,
    left_out: fn(&str) -> Vec<String>,
}

fn samples() -> [Sample; 3] {
    [
        sample::<root_ca::Config>("root-ca", "company-x"),
        sample::<intermediate_ca::Config>("intermediate-ca", "factory-y"),
        sample::<provisioner::Config>("provisioner", "factory-y"),
    ]
}

fn sample<C: ServiceConfig + Debug>(service: &'static str, company: &'static str) -> Sample {
    Sample {
        service,
        company,
        text: fs::read_to_string(path(service)).unwrap(),
        read: |text| {
            let read = config::parse::<C>(text, Path::new("sample.toml"));
            read.map(|config| format!("{config:?}")).map_err(|refusal| {
                assert_eq!(refusal.reason(), "CONFIG_INVALID");
                refusal.to_string()
            })
        },
        left_out: left_out::<C>,
    }
}

fn path(service: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../deploy/dev/{service}.toml"))
}

/// The text with the options that are off by default switched on.
fn all_on(text: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => option.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(on).collect::<Vec<_>>().join("\n")
}

/// Every table in a document, by its path.
fn tables(of: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let inner: Vec<(String, &Value)> = match of {
        Value::Table(table) => {
            found.push(path.to_vec());
            table.iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Vec::new(),
    };
    for (name, value) in inner {
        tables(value, &[path, &[name]].concat(), found);
    }
}

fn table_at<'a>(document: &'a mut Value, path: &[String]) -> &'a mut Table {
    let at = path.iter().fold(document, |value, step| match step.parse::<usize>() {
        Ok(index) => value.get_mut(index).unwrap(),
        Err(_) => value.get_mut(step.as_str()).unwrap(),
    });
    at.as_table_mut().unwrap()
}

fn document(text: &str) -> Value {
    Value::Table(text.parse().unwrap())
}

#[test]
fn every_option_stands_in_its_sample() {
    for sample in samples() {
        let absent = (sample.left_out)(&all_on(&sample.text));
        assert_eq!(absent, Vec::<String>::new(), "options that deploy/dev/{}.toml does not mention", sample.service);
        // And the question can be answered otherwise.
        let shorter = all_on(&sample.text).replace("drain_ms = ", "# drain_ms = ");
        assert_eq!((sample.left_out)(&shorter), [".limits.drain_ms"]);
    }
}

#[test]
fn every_option_is_explained() {
    for sample in samples() {
        let mut before = "";
        for line in sample.text.lines() {
            let is_option = line.contains(" = ") && !line.starts_with("# ");
            // Beside it, in the line above, or in the first entry of the same list.
            let explained = line.contains(" # ") || before.starts_with('#') || sample.text.matches(line).count() > 1;
            let again = sample.text.lines().any(|l| l != line && l.split('=').next() == line.split('=').next());
            assert!(!is_option || explained || again, "{}: {line}", sample.service);
            before = line;
        }
    }
}

#[test]
fn a_sample_is_read_by_its_service_with_and_without_the_options_that_are_off() {
    for sample in samples() {
        (sample.read)(&sample.text).unwrap();
        (sample.read)(&all_on(&sample.text)).unwrap();
    }
}

#[test]
fn an_unknown_option_is_refused_in_every_table() {
    for sample in samples() {
        let whole = document(&all_on(&sample.text));
        let mut found = Vec::new();
        tables(&whole, &[], &mut found);
        assert!(found.len() > 5, "{found:?}");
        for path in found {
            let mut changed = whole.clone();
            table_at(&mut changed, &path).insert("unheard_of".to_owned(), Value::Boolean(true));
            let refusal = (sample.read)(&toml::to_string(&changed).unwrap()).unwrap_err();
            assert!(refusal.contains("unheard_of"), "{path:?}: {refusal}");
        }
    }
}

#[test]
fn an_option_that_may_be_left_out_has_its_default_as_its_value() {
    let mut optional: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for sample in samples() {
        let whole = document(&sample.text);
        let stated = (sample.read)(&sample.text).unwrap();
        let mut found = Vec::new();
        tables(&whole, &[], &mut found);
        for path in found {
            for name in table_at(&mut whole.clone(), &path).keys().cloned().collect::<Vec<_>>() {
                let mut shorter = whole.clone();
                let removed = table_at(&mut shorter, &path).remove(&name).unwrap();
                // A list of tables has no entries by default: those here are examples.
                let is_list = removed.as_array().is_some_and(|items| items.iter().any(Value::is_table));
                let Ok(read) = (sample.read)(&toml::to_string(&shorter).unwrap()) else { continue };
                assert!(is_list || read == stated, "{}: {path:?} {name} has another default", sample.service);
                optional.entry(sample.service).or_default().push(name);
            }
        }
    }
    assert!(optional.values().all(|names| names.len() > 15), "{optional:?}");
    assert!(optional["intermediate-ca"].contains(&"queue".to_owned()), "{optional:?}");
}

#[test]
fn the_samples_fit_into_a_demos_folder() {
    let folder = demo(1);
    for sample in samples() {
        let company = folder.join(sample.company);
        let copy = inside(&company, &format!("sample-{}.toml", sample.service));
        fs::copy(path(sample.service), &copy).unwrap();
        let ended = countersign(&["service", sample.service, "--config", &copy, "--check-config"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}: {}", sample.service, ended.stderr);
    }
}
