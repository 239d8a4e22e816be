//! A service through its gRPC face, over TLS on port 0: calls, limits, reload, and the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io;
use std::sync::Arc;

use pki::encrypted_key::{self, Nonces, Passphrase};
use service::clock::{ManualClock, SystemClock};
use service::config::{FilePath, Limits, ListenSection};
use service::files::Reload;
use service::identity::Role;
use service::net::{BoxFuture, BoxStream, Listener, Network, TcpNetwork};
use service::refusal::Refusal;
use service::shell::{self, World};
use service::tls::{Credentials, PeerRefusal};
use support::probe::{LINE, OWN, Probe, Site, ask, config};
use support::{Ca, Home, Issued, expected, now, peers_of, write_mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;

fn reason(status: &Status) -> &'static str {
    Refusal::from_status(status).reason()
}

#[tokio::test]
async fn the_right_identity_is_served() {
    let site = Site::over_tcp(Limits::default()).await;
    assert!(site.client(LINE).check(ask("")).await.is_ok());
    site.running.shutdown().await.unwrap();
    assert!(site.probe.is_closed());
}

#[tokio::test]
async fn the_table_decides_and_denies_by_default() {
    let site = Site::over_tcp(Limits::default()).await;
    let operator = "spiffe://factory.example/factory-y/operator";
    let status = site.client(operator).check(ask("")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "RPC_NOT_ALLOWED"));
    // The handler exists, the row does not.
    let status = site.client(LINE).watch(ask("")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unimplemented, "RPC_NOT_ALLOWED"));
}

#[tokio::test]
async fn a_refused_client_and_a_refused_server_are_both_named() {
    let site = Site::over_tcp(Limits::default()).await;
    let mut stranger = site.client_of(&Ca::new("stranger"), LINE, Role::IntermediateCa);
    let status = stranger.check(ask("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(PeerRefusal::find(&status).unwrap().reason(), "REFUSED_BY_PEER");
    let mut mistaken = site.client_of(&site.ca, LINE, Role::Provisioner);
    let status = mistaken.check(ask("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(PeerRefusal::find(&status).unwrap().reason(), "PEER_NOT_ALLOWED");
}

#[tokio::test]
async fn everything_also_runs_in_memory_by_a_manual_clock() {
    let clock = Arc::new(ManualClock::new(now()));
    let site = Site::in_memory(Limits::default(), clock.clone()).await;
    assert!(site.client(LINE).check(ask("")).await.is_ok());
    let mut late = site.client(LINE);
    clock.advance(31 * 86_400);
    let status = late.check(ask("")).await.unwrap_err();
    assert_eq!(PeerRefusal::find(&status).unwrap().reason(), "PEER_CERTIFICATE_EXPIRED");
}

#[tokio::test]
async fn an_oversized_message_is_refused_by_its_length() {
    let site = Site::over_tcp(Limits { max_message_bytes: 1024, ..Limits::default() }).await;
    let mut client = site.client(LINE);
    let status = client.check(ask(&"x".repeat(1100))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::OutOfRange, "MESSAGE_TOO_LARGE"));
    assert!(client.check(ask(&"x".repeat(1000))).await.is_ok());
}

#[tokio::test]
async fn too_many_requests_are_shed_with_a_delay() {
    let site = Site::over_tcp(Limits { max_requests: 1, ..Limits::default() }).await;
    let mut first = site.client(LINE);
    let mut second = first.clone();
    let slow = tokio::spawn(async move { first.check(ask("slow")).await });
    site.probe.entered().await;
    let status = second.check(ask("")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "QUEUE_FULL"));
    assert!(Refusal::from_status(&status).retry_delay().is_some());
    site.probe.release.add_permits(1);
    assert!(slow.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_request_without_an_answer_in_time_is_ended() {
    let site = Site::over_tcp(Limits { request_timeout_ms: 30, ..Limits::default() }).await;
    let status = site.client(LINE).check(ask("slow")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "DEADLINE_TOO_SHORT"));
}

#[tokio::test]
async fn a_slow_handshake_is_dropped() {
    let site = Site::over_tcp(Limits { handshake_timeout_ms: 30, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(site.running.grpc_address()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(site.client(LINE).check(ask("")).await.is_ok());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let site = Site::over_tcp(Limits { max_connections: 1, ..Limits::default() }).await;
    let mut first = site.client(LINE);
    assert!(first.check(ask("")).await.is_ok());
    let mut further = TcpStream::connect(site.running.grpc_address()).await.unwrap();
    assert_eq!(further.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(first.check(ask("")).await.is_ok());
}

#[tokio::test]
async fn connections_of_one_peer_beyond_its_limit_are_closed_by_name_and_others_get_in() {
    let site = Site::over_tcp(Limits { max_connections_per_peer: 1, ..Limits::default() }).await;
    let mut first = site.client(LINE);
    assert!(first.check(ask("")).await.is_ok());
    assert_eq!(site.client(LINE).check(ask("")).await.unwrap_err().code(), Code::Unavailable);
    let other = "spiffe://factory.example/factory-y/provisioner/line-2";
    assert!(site.client(other).check(ask("")).await.is_ok());
    assert!(first.check(ask("")).await.is_ok());
    let metrics = http_get(&site, "/metrics").await;
    assert!(metrics.contains("reason=\"CONNECTION_LIMIT_REACHED\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn whoever_is_slow_to_shake_hands_makes_room_for_who_is_not() {
    let site = Site::over_tcp(Limits { max_handshakes: 1, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(site.running.grpc_address()).await.unwrap();
    assert!(site.client(LINE).check(ask("")).await.is_ok());
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let metrics = http_get(&site, "/metrics").await;
    assert!(metrics.contains("reason=\"CONNECTION_LIMIT_REACHED\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn probes_that_ask_nothing_make_room_for_those_that_do() {
    let site = Site::over_tcp(Limits::default()).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(site.running.health_address()).await.unwrap());
    }
    assert!(http_get(&site, "/livez").await.starts_with("HTTP/1.1 200"));
    assert_eq!(silent[0].read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_reload_reaches_new_connections_and_leaves_old_ones_alone() {
    let site = Site::over_tcp(Limits::default()).await;
    let credentials = site.running.credentials();
    let mut old = site.client(LINE);
    assert!(old.check(ask("")).await.is_ok());
    assert_eq!(credentials.reload().unwrap(), Reload::Unchanged);

    let next = Ca::new("next");
    site.home.set_bundle("factory.example", &next.pem);
    assert_eq!(credentials.reload().unwrap(), Reload::Swapped);
    assert!(old.check(ask("")).await.is_ok(), "the open connection goes on");
    assert_eq!(site.client(LINE).check(ask("")).await.unwrap_err().code(), Code::Unavailable);
    let mut new = site.client_of(&next, LINE, Role::IntermediateCa);
    assert!(new.check(ask("")).await.is_ok());

    // Whatever is wrong with new files, what is in use stays in use.
    site.home.set_bundle("factory.example", "half a file");
    assert_eq!(credentials.reload().unwrap_err().reason(), "FILE_MALFORMED");
    site.home.set_bundle("factory.example", &next.pem);
    site.home.set_identity(&site.ca.issue(&[LINE]));
    assert_eq!(credentials.reload().unwrap_err().reason(), "OWN_IDENTITY_CHANGED");
    let mut again = site.client_of(&next, LINE, Role::IntermediateCa);
    assert!(again.check(ask("")).await.is_ok());
    site.home.set_identity(&site.ca.issue(&[OWN]));
    assert_eq!(credentials.reload().unwrap(), Reload::Swapped);
}

#[tokio::test]
async fn a_renewed_key_under_a_passphrase_is_taken_once_both_files_are_there() {
    let ca = Ca::new("ours");
    let peers = [("factory-y", "factory.example", &ca)];
    let home = Home::new(&ca.issue(&[OWN]), &peers);
    let mut identity = Home::identity();
    identity.key_passphrase_file = Some(FilePath::new("own.passphrase"));
    let clock = Arc::new(SystemClock);
    // A key that is not encrypted needs no passphrase, so that the option can be set before the key is exchanged.
    let credentials = Credentials::load(&identity, &peers_of(&peers), &home.directory(), clock).unwrap();

    let renew = |passphrase: &str| {
        let next = ca.issue(&[OWN]);
        let plain = pki::pem::single(&next.key, "PRIVATE KEY").unwrap();
        let sealed = encrypted_key::seal(plain.der(), &Passphrase::new(passphrase), &Nonces::default()).unwrap();
        home.set_identity(&Issued { key: pki::pem::encode("ENCRYPTED PRIVATE KEY", &sealed), ..next });
    };
    renew("first");
    assert_eq!(credentials.reload().unwrap_err().reason(), "FILE_MISSING");
    write_mode(&home.path().join("own.passphrase"), "first\n", 0o600);
    assert_eq!(credentials.reload().unwrap(), Reload::Swapped);
    assert_eq!(credentials.reload().unwrap(), Reload::Unchanged);
    renew("second");
    assert_eq!(credentials.reload().unwrap_err().reason(), "PASSPHRASE_WRONG");
    write_mode(&home.path().join("own.passphrase"), "second", 0o600);
    assert_eq!(credentials.reload().unwrap(), Reload::Swapped);
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_being_told() {
    let site = Site::over_tcp(Limits { credentials_poll_ms: 10, ..Limits::default() }).await;
    let next = Ca::new("next");
    site.home.set_bundle("factory.example", &next.pem);
    // The watcher looks by itself; a client of the new CA gets in as soon as it has.
    let serve = async { while site.client_of(&next, LINE, Role::IntermediateCa).check(ask("")).await.is_err() {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), serve).await.unwrap();
    let told = "countersign_file_reloads_total{files=\"tls\"} 1\n";
    let counted = async { while !http_get(&site, "/metrics").await.contains(told) {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), counted).await.unwrap();
}

#[tokio::test]
async fn requests_in_flight_finish_and_new_connections_are_not_taken() {
    let site = Site::over_tcp(Limits::default()).await;
    let mut client = site.client(LINE);
    let mut late = site.client(LINE);
    let slow = tokio::spawn(async move { client.check(ask("slow")).await });
    site.probe.entered().await;
    let shutdown = tokio::spawn(site.running.shutdown());
    // The connection is told to go away, so a new one is tried, and nobody takes it.
    while late.check(ask("")).await.is_ok() {}
    assert!(!site.probe.is_closed());
    site.probe.release.add_permits(1);
    assert!(slow.await.unwrap().is_ok());
    shutdown.await.unwrap().unwrap();
    assert!(site.probe.is_closed());
}

#[tokio::test]
async fn the_drain_has_a_limit() {
    let site = Site::over_tcp(Limits { drain_ms: 20, ..Limits::default() }).await;
    let mut client = site.client(LINE);
    let slow = tokio::spawn(async move { client.check(ask("slow")).await });
    site.probe.entered().await;
    site.running.shutdown().await.unwrap();
    assert!(slow.await.unwrap().is_err());
    assert!(site.probe.is_closed());
}

#[tokio::test]
async fn a_service_can_stop_itself() {
    let site = Site::over_tcp(Limits::default()).await;
    let _ = site.client(LINE).check(ask("fatal")).await;
    site.running.stopping().await;
    let error = site.running.shutdown().await.unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("STORE_STOPPED", 1));
    assert!(site.probe.is_closed());
}

/// Listens once, and breaks as no operating system does.
struct Breaking(TcpNetwork);

struct Broken(Box<dyn Listener>);

impl Network for Breaking {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { Ok(Box::new(Broken(self.0.listen(address).await?)) as Box<dyn Listener>) })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        self.0.connect(address)
    }
}

impl Listener for Broken {
    fn local_address(&self) -> String {
        self.0.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async { panic!("this listener breaks") })
    }
}

#[tokio::test]
async fn a_server_that_ends_unasked_ends_the_process_with_a_name() {
    let site = Site::start(Limits::default(), Arc::new(Breaking(TcpNetwork)), Arc::new(SystemClock)).await;
    site.running.stopping().await;
    let error = site.running.shutdown().await.unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("SERVER_ENDED", 1));
    assert!(site.probe.is_closed());
}

#[tokio::test]
async fn an_address_of_a_peer_without_a_port_is_refused_before_anything_is_sent() {
    let site = Site::over_tcp(Limits::default()).await;
    let (own, network) = (Arc::clone(site.running.credentials()), Arc::new(TcpNetwork) as Arc<dyn Network>);
    for address in ["", "localhost", ":1", "localhost:", "localhost:65536", "https://localhost"] {
        let peer = expected("factory-y", Role::IntermediateCa);
        let refused = service::client::connect(&network, address, peer, &own, &Limits::default());
        assert_eq!(refused.map(drop).unwrap_err().reason(), "PEER_ADDRESS_REFUSED", "{address:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_store_is_closed() {
    let site = Site::over_tcp(Limits::default()).await;
    for health_too in ["grpc", "health"] {
        let mut config = config(&peers_of(&[("factory-y", "factory.example", &site.ca)]), Limits::default());
        let free = "127.0.0.1:0".to_owned();
        let taken = site.running.grpc_address().to_owned();
        config.listen = match health_too {
            "grpc" => ListenSection { grpc: taken, health: free },
            _ => ListenSection { grpc: free, health: taken },
        };
        let probe = Probe::default();
        let started = shell::start(&probe, config, site.home.directory(), World::real()).await;
        let error = started.map(|_| ()).unwrap_err();
        assert_eq!((error.reason(), error.exit_code()), ("PORT_IN_USE", 3));
        assert!(probe.is_closed());
    }
}

#[tokio::test]
async fn probes_are_answered_in_plain_text() {
    let site = Site::over_tcp(Limits::default()).await;
    assert!(http_get(&site, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(http_get(&site, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(http_get(&site, "/else").await.starts_with("HTTP/1.1 404"));
    site.client(LINE).check(ask("")).await.unwrap();
    let metrics = http_get(&site, "/metrics").await;
    assert!(metrics.contains("countersign_connections_accepted_total 1\n"), "{metrics}");
    assert!(metrics.contains("reason=\"PEER_NOT_ALLOWED\"} 0\n"), "{metrics}");
    assert!(metrics.contains("countersign_probe_lines_total 0\n"), "what the service brings is told too: {metrics}");

    let endpoint = format!("http://{}", site.running.health_address());
    let mut grpc = HealthClient::new(tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect_lazy());
    let mut watch = grpc.watch(ask("ready")).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status != 1 {}
    for service in ["", "startup", "ready"] {
        assert_eq!(grpc.check(ask(service)).await.unwrap().into_inner().status, 1, "{service}");
    }
    let status = grpc.check(ask("other")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_draining_service_says_that_it_is_not_ready() {
    let site = Site::over_tcp(Limits::default()).await;
    let endpoint = format!("http://{}", site.running.health_address());
    let mut grpc = HealthClient::new(tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect_lazy());
    let mut watch = grpc.watch(ask("ready")).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status != 1 {}
    let mut client = site.client(LINE);
    let slow = tokio::spawn(async move { client.check(ask("slow")).await });
    site.probe.entered().await;
    let shutdown = tokio::spawn(site.running.shutdown());
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2);
    site.probe.release.add_permits(1);
    assert!(slow.await.unwrap().is_ok());
    shutdown.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_are_counted_by_rpc_and_refusals_by_reason() {
    let site = Site::over_tcp(Limits::default()).await;
    let mut client = site.client(LINE);
    for _ in 0..3 {
        client.check(ask("")).await.unwrap();
    }
    client.watch(ask("")).await.unwrap_err();
    site.client("spiffe://factory.example/factory-y/operator").check(ask("")).await.unwrap_err();
    let metrics = http_get(&site, "/metrics").await;
    for line in [
        "countersign_request_seconds_count{rpc=\"/grpc.health.v1.Health/Check\"} 4\n",
        "countersign_requests_refused_total{reason=\"RPC_NOT_ALLOWED\"} 2\n",
        "countersign_files_refused{files=\"tls\"} 0\n",
        "countersign_certificate_days_left 30\n",
    ] {
        assert!(metrics.contains(line), "{line:?} is not in {metrics}");
    }
    assert!(!metrics.contains("Health/Watch"), "an rpc without a row is no label");
}

async fn http_get(site: &Site, path: &str) -> String {
    let mut stream = TcpStream::connect(site.running.health_address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
