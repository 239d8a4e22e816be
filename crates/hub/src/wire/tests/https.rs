//! Telemetry by request.

use super::{client::Client, porter::Event, world::World};

async fn post(client: &mut Client, device: &str, headers: &str, body: &str) {
    let head = format!("POST /devices/{device}/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\n");
    let request = format!("{head}Connection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
    client.write(request.as_bytes()).await;
}

#[tokio::test]
async fn a_message_is_kept_with_its_properties_as_they_were_written() {
    let world = World::new().await;
    let mut client = Client::connect(&world, world.bound.https.as_ref().unwrap(), Some(&world.device("d1"))).await;
    post(&mut client, "d1", "iothub-app-temperatureAlert: true\r\nIoTHub-MessageId: m-1\r\n", "{}").await;
    let Event::Telemetry(device, message) = world.porter.next().await else { panic!() };
    assert_eq!((device.as_str(), &message.body[..]), ("d1", &b"{}"[..]));
    assert_eq!(message.properties, [("temperatureAlert".to_owned(), "true".to_owned())]);
    assert_eq!(message.system, [("mid".to_owned(), "m-1".to_owned())]);
    assert!(client.rest().await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn a_refused_device_gets_401_with_the_reason_in_the_body() {
    let world = World::new().await;
    let mut client = Client::connect(&world, world.bound.https.as_ref().unwrap(), Some(&world.device("d1"))).await;
    post(&mut client, "d2", "", "{}").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("\"reason\":\"DEVICE_ID_MISMATCH\""), "{answer}");
    let expected = Event::Refused { claimed: "d2".to_owned(), reason: "DEVICE_ID_MISMATCH", chain: 2 };
    assert_eq!(world.porter.next().await, expected);
}

#[tokio::test]
async fn a_withdrawn_device_is_judged_again_on_the_same_connection() {
    let world = World::new().await;
    let mut client = Client::connect(&world, world.bound.https.as_ref().unwrap(), Some(&world.device("d1"))).await;
    let request = "POST /devices/d1/messages/events HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    client.write(request.as_bytes()).await;
    assert!(matches!(world.porter.next().await, Event::Telemetry(..)));
    world.porter.refuse("d1", "DEVICE_DISABLED");
    world.porter.withdraw("d1");
    post(&mut client, "d1", "", "").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 204") && answer.contains("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn too_long_a_message_is_refused_by_name() {
    let world = World::new().await;
    let mut client = Client::connect(&world, world.bound.https.as_ref().unwrap(), Some(&world.device("d1"))).await;
    post(&mut client, "d1", "", &"x".repeat(256 * 1024 + 1)).await;
    let expected = Event::Refused { claimed: "d1".to_owned(), reason: "MESSAGE_TOO_LARGE", chain: 0 };
    assert_eq!(world.porter.next().await, expected);
    assert!(client.rest().await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_closed_and_others_go_on() {
    let world = World::new().await;
    let https = world.bound.https.as_ref().unwrap();
    let mut good = Client::connect(&world, https, Some(&world.device("d1"))).await;
    let send = "POST /devices/d1/messages/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    let headers: String = (0..200).map(|number| format!("h{number}: x\r\n")).collect();
    let cases = [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("POST /devices/d2/messages/events HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_owned(), "400"),
        ("POST /devices/d2/messages/events HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), "400"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), "414"),
        (format!("GET / HTTP/1.1\r\n{headers}\r\n"), "431"),
    ];
    for (octets, code) in cases {
        let mut bad = Client::connect(&world, https, Some(&world.device("d2"))).await;
        bad.write(octets.as_bytes()).await;
        let answer = bad.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{code}: {answer}");
        let expected = Event::Refused { claimed: String::new(), reason: "PACKET_MALFORMED", chain: 2 };
        assert_eq!(world.porter.next().await, expected, "{code}");
        good.write(send.as_bytes()).await;
        assert!(good.answer().await.starts_with("HTTP/1.1 204"), "after {code}");
        assert!(matches!(world.porter.next().await, Event::Telemetry(..)), "after {code}");
    }
}
