//! Compiles the protos without protoc, and turns the comments of the published reasons into the table behind `countersign explain`.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost_types::FileDescriptorSet;

/// Field number of `enum_type` in `FileDescriptorProto` and of `value` in `EnumDescriptorProto`: how source locations name a place.
const ENUM_TYPE: i32 = 5;
const VALUE: i32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let protos = find_protos(&root)?;
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(protos)?;
    let descriptors = compiler.file_descriptor_set();

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    fs::write(out.join("reasons.rs"), reasons_table(&descriptors)?)?;
    tonic_prost_build::configure().bytes(".").include_file("packages.rs").compile_fds(descriptors)?;
    Ok(())
}

/// Every `.proto` below `dir`, as paths relative to `dir`, sorted so that the output is the same everywhere.
fn find_protos(dir: &PathBuf) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut open = vec![dir.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "proto") {
                found.push(path.strip_prefix(dir)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `(name, number, meaning, remedy)` of each reason, from the comments in the proto.
fn reasons_table(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let file = descriptors
        .file
        .iter()
        .find(|f| f.package() == "countersign.reason.v1")
        .ok_or("countersign.reason.v1 is missing")?;
    let (at, reasons) =
        file.enum_type.iter().enumerate().find(|(_, e)| e.name() == "Reason").ok_or("enum Reason is missing")?;
    let locations = &file.source_code_info.as_ref().ok_or("no source info")?.location;
    let mut table = String::from("&[\n");
    for (index, value) in reasons.value.iter().enumerate() {
        let path = [ENUM_TYPE, i32::try_from(at)?, VALUE, i32::try_from(index)?];
        let comment =
            locations.iter().find(|l| l.path == path).map(|l| l.leading_comments().trim()).unwrap_or_default();
        let (meaning, rest) = split(value.name(), comment, "Do:")?;
        let (remedy, code) = split(value.name(), rest, "Code:")?;
        let name = value.name().strip_prefix("REASON_").ok_or("a reason without its prefix")?;
        writeln!(
            table,
            "    Explanation {{ reason: {name:?}, number: {}, meaning: {:?}, remedy: {:?}, code: tonic::Code::{} }},",
            value.number(),
            one_line(meaning),
            one_line(remedy),
            camel(code.trim())
        )?;
    }
    table.push_str("]\n");
    Ok(table)
}

fn split<'a>(name: &str, comment: &'a str, mark: &str) -> Result<(&'a str, &'a str), String> {
    comment.split_once(mark).ok_or_else(|| format!("{name} has no \"{mark}\" in its comment"))
}

/// `NOT_FOUND` as tonic spells it, `NotFound`.
fn camel(code: &str) -> String {
    code.split('_')
        .map(|word| word.chars().take(1).chain(word.to_lowercase().chars().skip(1)).collect::<String>())
        .collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
