//! The first packet: who it claims to be, whether it may come in, and the answer.

use std::{collections::HashMap, sync::Arc};

use api::Refusal;
use device_wire::{
    mqtt::{self, Clean, ConnAck, Connect, ConnectCode, Fault, Packet, Resumed, Will},
    topic::Up,
};
use futures_util::stream::FuturesOrdered;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::{Subscriptions, fault, session::Session};
use crate::{
    admission::{Admitted, MAX_CLAIMED},
    wire::{
        guest::{Guest, House, Permits, Visitor},
        line::{Line, LineError},
        sessions::Seat,
    },
};

/// Most octets of a CONNECT: ids, a user name and a last will fit many times over.
const MAX_CONNECT: usize = 16 * 1024;

/// A guest that is not let in, with the code that its CONNACK says; None: nothing is said.
struct NotWelcome(Refusal, Option<ConnectCode>);

/// Reads CONNECT, has it judged and answers. None: refused, and the connection is closed.
pub(super) async fn greet(house: Arc<House>, guest: Guest) -> Option<Session> {
    let Guest { stream, visitor, permits } = guest;
    let mut line = Line::new(stream, house.limits.write());
    let heard = timeout(house.limits.greeting(), first_packet(&mut line));
    let heard = tokio::select! {
        heard = heard => heard,
        () = permits.lost() => {
            let refusal = Refusal::new("CONNECTION_LIMIT_REACHED", "others came, and this one did not say who it is");
            house.refused(&visitor, "", &refusal).await;
            return None;
        }
        () = house.stop.cancelled() => return None,
    };
    let welcome = match heard {
        // Whoever goes without a word, a port scanner or a probe, is nobody that could ask why.
        Ok(Err(Unheard::Line(error))) => {
            tracing::debug!(from = %visitor.from, %error, "connection ended before CONNECT");
            return None;
        }
        Ok(Err(Unheard::Refused(refusal, code))) => Err(unnamed(&house, &visitor, refusal, code).await),
        Err(_) => {
            let refusal = Refusal::new("DEVICE_TOO_SLOW", "no CONNECT within the time that is given for it");
            Err(unnamed(&house, &visitor, refusal, None).await)
        }
        Ok(Ok(connect)) => judge(&house, &visitor, connect).await,
    };
    match welcome {
        Ok((connect, seat)) => Some(seated(house, permits, line, connect, seat).await),
        Err(NotWelcome(refusal, code)) => {
            if let Some(code) = code {
                mqtt::encode(&Packet::ConnAck(ConnAck { resumed: Resumed::Anew, code }), &mut line.out);
            }
            tracing::debug!(from = %visitor.from, reason = refusal.reason(), "connection closed");
            line.close().await;
            None
        }
    }
}

/// Puts on record a guest that did not come as far as saying who it is.
async fn unnamed(house: &House, visitor: &Visitor, refusal: Refusal, code: Option<ConnectCode>) -> NotWelcome {
    house.refused(visitor, "", &refusal).await;
    NotWelcome(refusal, code)
}

enum Unheard {
    Line(LineError),
    Refused(Refusal, Option<ConnectCode>),
}

async fn first_packet(line: &mut Line) -> Result<Connect, Unheard> {
    loop {
        match mqtt::decode(&mut line.arrived, MAX_CONNECT) {
            Ok(Some(Packet::Connect(connect))) => return Ok(connect),
            // Section 3.1.0: the first packet is CONNECT.
            Ok(Some(_)) => return Err(Unheard::Refused(fault::unexpected("a first packet that is not CONNECT"), None)),
            Ok(None) => line.fill().await.map_err(Unheard::Line)?,
            Err(found) => {
                // Section 3.1.2.2: another level is answered, anything else that is malformed is not.
                let code = matches!(found, Fault::Level(_)).then_some(ConnectCode::UnacceptableProtocol);
                return Err(Unheard::Refused(fault::packet(found), code));
            }
        }
    }
}

/// Asks the house, and takes the device's seat.
async fn judge(house: &Arc<House>, visitor: &Visitor, connect: Connect) -> Result<(Connect, Seat), NotWelcome> {
    let claimed = connect.client_id.as_str();
    if let Some((refusal, code)) = implausible(&connect) {
        house.refused(visitor, claimed, &refusal).await;
        return Err(NotWelcome(refusal, Some(code)));
    }
    // Whatever is withdrawn between the judgement and the seat must not go unnoticed.
    let before = *house.admission.revocations().borrow();
    let admitted = match house.admit(visitor, claimed).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            let code = if refusal.code() == Code::Unavailable {
                ConnectCode::ServerUnavailable
            } else {
                ConnectCode::NotAuthorized
            };
            return Err(NotWelcome(refusal, Some(code)));
        }
    };
    match house.seat(admitted, before).await {
        Ok(seat) => Ok((connect, seat)),
        Err(refusal) => Err(NotWelcome(refusal, Some(ConnectCode::NotAuthorized))),
    }
}

/// What can be said against a CONNECT without knowing the device.
fn implausible(connect: &Connect) -> Option<(Refusal, ConnectCode)> {
    let id = connect.client_id.as_str();
    if id.is_empty() || id.len() > MAX_CLAIMED {
        let message = format!("a client id of {} octets where 1 to {MAX_CLAIMED} make a device id", id.len());
        return Some((Refusal::new("HUB_DEVICE_ID_INVALID", message), ConnectCode::IdentifierRejected));
    }
    if let Some(name) = &connect.username {
        // `{host}/{device}/?api-version=...`; the query may stand without the slash before it, and an id may hold a question mark.
        let named = name.split_once('/').map(|(_, device)| device).unwrap_or_default();
        let behind = named.strip_prefix(id);
        if !behind.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            let message = format!("the client id is {id}, the user name names {named:?}");
            return Some((Refusal::new("CLAIMED_NAME_DIFFERS", message), ConnectCode::NotAuthorized));
        }
    }
    if let Some(Will { topic, .. }) = &connect.will
        && !matches!(Up::parse(topic, id), Ok(Up::Telemetry { .. }))
    {
        let refusal = Refusal::new("TOPIC_REFUSED", format!("a last will that is no telemetry of the device: {topic}"));
        return Some((refusal, ConnectCode::NotAuthorized));
    }
    None
}

/// Answers CONNACK and opens the session.
async fn seated(house: Arc<House>, mut permits: Permits, mut line: Line, connect: Connect, seat: Seat) -> Session {
    permits.stranger = None;
    let admitted: Arc<Admitted> = Arc::clone(&seat.admitted);
    let kept = match connect.clean {
        Clean::Start => house.admission.keep_subscriptions(&admitted, None).await.map(|()| None),
        Clean::Resume => house.admission.subscriptions(&admitted).await,
    };
    // A device whose subscriptions cannot be read is told that there are none, and subscribes again.
    let kept = kept.unwrap_or_else(|refusal| {
        tracing::warn!(device = %admitted.device(), reason = refusal.reason(), "subscriptions not read");
        None
    });
    let resumed = if kept.is_some() { Resumed::Present } else { Resumed::Anew };
    house.admission.connected(&admitted).await;
    mqtt::encode(&Packet::ConnAck(ConnAck { resumed, code: ConnectCode::Accepted }), &mut line.out);
    let limit = house.limits.message_bytes() + usize::from(u16::MAX) + 8;
    Session {
        mail: house.admission.mail(&admitted),
        silence: house.limits.silence(connect.keep_alive),
        house,
        device: admitted.claimed().into(),
        admitted,
        line,
        seat,
        limit,
        clean: connect.clean,
        will: connect.will,
        subscriptions: kept.map(Subscriptions::from_bits).unwrap_or_default(),
        heard: Instant::now(),
        keeping: FuturesOrdered::new(),
        held: Vec::new(),
        last_packet: 0,
        calls: HashMap::new(),
        last_call: 0,
        desired: None,
        _permits: permits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(id: &str, name: Option<&str>) -> Connect {
        let username = name.map(str::to_owned);
        Connect { client_id: id.to_owned(), clean: Clean::Resume, keep_alive: 0, will: None, username, password: None }
    }

    fn refused(connect: &Connect) -> Option<&'static str> {
        implausible(connect).map(|(refusal, _)| refusal.reason())
    }

    #[test]
    fn the_user_name_names_the_device_of_the_client_id() {
        for name in ["localhost/d1/?api-version=1", "localhost/d1", "localhost/d1?api-version=1", "h/d1/api-version=1"]
        {
            assert_eq!(refused(&connect("d1", Some(name))), None, "{name}");
        }
        for name in ["localhost/d2/?api-version=1", "localhost/D1", "localhost/d12", "d1", ""] {
            assert_eq!(refused(&connect("d1", Some(name))), Some("CLAIMED_NAME_DIFFERS"), "{name}");
        }
        assert_eq!(refused(&connect("what?d1", Some("localhost/what?d1/?api-version=1"))), None);
        assert_eq!(refused(&connect("", None)), Some("HUB_DEVICE_ID_INVALID"));
        assert_eq!(refused(&connect(&"x".repeat(129), None)), Some("HUB_DEVICE_ID_INVALID"));
    }

    #[test]
    fn a_will_is_the_devices_own_telemetry() {
        let will = |topic: &str| {
            let (message, qos, retain) = (bytes::Bytes::new(), mqtt::QoS::AtMostOnce, mqtt::Retain::No);
            Connect { will: Some(Will { topic: topic.to_owned(), message, qos, retain }), ..connect("d1", None) }
        };
        assert_eq!(refused(&will("devices/d1/messages/events/a=b")), None);
        assert_eq!(refused(&will("devices/d2/messages/events/")), Some("TOPIC_REFUSED"));
        assert_eq!(refused(&will("$iothub/twin/GET/?$rid=1")), Some("TOPIC_REFUSED"));
    }
}
