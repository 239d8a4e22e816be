//! A running service as its operator sees it: what it tells at `/metrics`, its log, its configuration.

use std::{path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::{At, Chain};

/// More than a slow machine needs for anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a service tells at `/metrics`.
pub(crate) async fn metrics(chain: &Chain, at: At) -> String {
    let (head, body) = get(chain, at, "/metrics").await;
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "the end is told: {body}");
    body
}

/// What a service answers to a probe that it takes: head and body.
pub(crate) async fn get(chain: &Chain, at: At, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(chain.health(at)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
    (head.to_owned(), body.to_owned())
}

/// The value of one sample: its name with its labels, as it is written.
pub(crate) fn value(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until a service tells a value that is wanted.
pub(crate) async fn until(chain: &Chain, at: At, sample: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    let told = async {
        loop {
            match value(&metrics(chain, at).await, sample) {
                Some(value) if wanted(value) => return value,
                Some(_) | None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .unwrap_or_else(|_| panic!("{at:?} never told what is wanted of {sample}"))
}

/// What a service has logged so far.
pub(crate) fn log(chain: &Chain, at: At) -> String {
    std::fs::read_to_string(config(chain, at).with_extension("log")).unwrap()
}

/// Starts a service again, at its address, with these options of its configuration, by name, set to these values.
pub(crate) async fn reconfigure(chain: &mut Chain, at: At, options: &[(&str, &str)]) {
    let file = config(chain, at);
    let (manufacturer, role) = at.identity();
    let killed = chain.world.kill_service(manufacturer, role.as_str()).await.unwrap();
    let text =
        options.iter().fold(std::fs::read_to_string(&file).unwrap(), |text, (name, value)| set(&text, name, value));
    std::fs::write(&file, text).unwrap();
    chain.world.start_again(killed).await.unwrap();
}

/// Every option stands in the file, the ones that are off behind a "#".
fn set(config: &str, name: &str, value: &str) -> String {
    let is_it =
        |line: &&str| line.trim_start_matches('#').strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "));
    assert_eq!(config.lines().filter(is_it).count(), 1, "{name} in {config}");
    let line = |line| if is_it(&line) { format!("{name} = {value}\n") } else { format!("{line}\n") };
    config.lines().map(line).collect()
}

fn config(chain: &Chain, at: At) -> PathBuf {
    let (manufacturer, role) = at.identity();
    chain.world.service(manufacturer, role.as_str()).unwrap().service.config.clone()
}
