//! SIGTERM: not ready for new work, the work under way is finished, exit code 0.

use simulator::Plan;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    people::{Answer, Stream, station, unit_requests},
    world::journey,
};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_says_not_serving_and_lets_a_running_stream_finish() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(folder.path(), &Plan::new(1, 1).unwrap()).await;
    let probes = world.service("factory-y", "provisioner").unwrap().health.clone();
    let probes = Endpoint::from_shared(format!("http://{probes}")).unwrap().connect_lazy();
    let ready = HealthCheckRequest { service: "ready".to_owned() };
    let mut health = HealthClient::new(probes).watch(ready).await.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let requests = unit_requests("b0032", 0, 40);
    let (before, after) = requests.split_at(20);
    let mut stream = Stream::open(station(&world)).await;
    stream.ask(before).await;
    assert!(matches!(stream.next().await, Answer::Unit(_)));
    // The provisioner is the last that was started, so it is the first that is told to end; its signer waits for it.
    let stopping = tokio::spawn(async move { world.stop().await });
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    stream.ask(after).await;
    stream.close();
    let mut finished = 1;
    loop {
        match stream.next().await {
            Answer::Unit(_) => finished += 1,
            Answer::Refused { request_id, refusal } => panic!("{request_id}: {refusal:?}"),
            Answer::End(end) => break end.unwrap(),
        }
    }
    assert_eq!(finished, requests.len());
    // Every service ended with exit code 0.
    stopping.await.unwrap().unwrap();
}
