//! The protocol header and Open: whether the device may come in, and the answer.
//!
//! Open names no device, so the one that its certificate names is judged. Every address that it attaches to later must be the same's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::Refusal;
use bytes::BufMut as _;
use device_wire::amqp::{Close, Fault, MIN_MAX_FRAME, Open, PROTOCOL_HEADER, Performative, frame};
use futures_util::stream::FuturesOrdered;
use pki::Certificate;
use tokio::time::{Instant, timeout};

use super::{connection::Connection, fault};
use crate::wire::{
    guest::{Guest, House, Permits, Visitor},
    line::{Line, LineError},
    sessions::Seat,
};

/// Most octets of one frame that we take.
pub(super) const MAX_FRAME: u32 = 64 * 1024;
/// A device that asks for more is told something this often.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(500);
/// Highest channel and handle that we take.
pub(super) const CHANNEL_MAX: u16 = 7;

enum Unheard {
    Line(LineError),
    Refused(Refusal),
}

/// Reads the header and Open, has the device judged and answers. None: refused, and the connection is closed.
pub(super) async fn greet(house: Arc<House>, guest: Guest) -> Option<Connection> {
    let Guest { stream, visitor, permits } = guest;
    let mut line = Line::new(stream, house.limits.write());
    let heard = timeout(house.limits.greeting(), first_frame(&mut line));
    let heard = tokio::select! {
        heard = heard => heard,
        () = permits.lost() => {
            let refusal = Refusal::new("CONNECTION_LIMIT_REACHED", "others came, and this one did not say who it is");
            house.refused(&visitor, "", &refusal).await;
            return None;
        }
        () = house.stop.cancelled() => return None,
    };
    let refusal = match heard {
        Ok(Ok(open)) => {
            // Open is answered in any case: Close must follow an Open (section 2.4.1).
            write(&mut line, &Performative::Open(answer(&open, house.limits.idle_ms())));
            match judge(&house, &visitor).await {
                Ok(seat) => return Some(seated(house, (visitor, permits), line, &open, seat).await),
                Err(refusal) => refusal,
            }
        }
        Ok(Err(Unheard::Line(error))) => {
            tracing::debug!(from = %visitor.from, %error, "connection ended before Open");
            return None;
        }
        Ok(Err(Unheard::Refused(refusal))) => {
            house.refused(&visitor, "", &refusal).await;
            line.close().await;
            return None;
        }
        Err(_) => {
            let refusal = Refusal::new("DEVICE_TOO_SLOW", "no Open within the time that is given for it");
            house.refused(&visitor, "", &refusal).await;
            return None;
        }
    };
    write(&mut line, &Performative::Close(Close { error: Some(fault::unauthorized(&refusal)) }));
    line.close().await;
    None
}

fn write(line: &mut Line, performative: &Performative) {
    frame::encode(0, performative, b"", &mut line.out);
}

async fn first_frame(line: &mut Line) -> Result<Open, Unheard> {
    let refused = |found: Fault| Unheard::Refused(fault::octets(found));
    loop {
        match frame::decode_header(&mut line.arrived) {
            Ok(Some(())) => break,
            Ok(None) => line.fill().await.map_err(Unheard::Line)?,
            Err(found) => {
                // Section 2.2: whoever speaks something else is told what is spoken here.
                line.out.put_slice(&PROTOCOL_HEADER);
                return Err(refused(found));
            }
        }
    }
    line.out.put_slice(&PROTOCOL_HEADER);
    line.flush().await.map_err(Unheard::Line)?;
    let limit = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
    loop {
        match frame::decode(&mut line.arrived, limit).map_err(refused)? {
            Some(frame) => {
                let Some(Performative::Open(open)) = frame.performative else {
                    return Err(Unheard::Refused(fault::unexpected("a first frame that is not Open")));
                };
                return Ok(open);
            }
            None => line.fill().await.map_err(Unheard::Line)?,
        }
    }
}

fn answer(open: &Open, idle_ms: u32) -> Open {
    Open {
        container_id: open.hostname.clone().unwrap_or_else(|| "hub".to_owned()),
        hostname: None,
        max_frame_size: Some(MAX_FRAME),
        channel_max: Some(CHANNEL_MAX),
        idle_time_out: Some(idle_ms),
    }
}

async fn judge(house: &Arc<House>, visitor: &Visitor) -> Result<Seat, Refusal> {
    let claimed = certified_name(visitor).unwrap_or_default();
    // Whatever is withdrawn between the judgement and the seat must not go unnoticed.
    let before = *house.admission.revocations().borrow();
    let admitted = house.admit(visitor, &claimed).await?;
    house.seat(admitted, before).await
}

/// The one common name of what was presented; the judgement finds the same, or says why it cannot.
fn certified_name(visitor: &Visitor) -> Option<String> {
    let leaf = Certificate::parse(visitor.presented.first()?).ok()?;
    let [name] = leaf.subject().common_names().try_into().ok()?;
    Some(name)
}

/// How often a device wants to hear something: half of what it bears, so that a frame on its way is not missed; but not all the time.
fn heartbeat(idle_ms: u32) -> Duration {
    Duration::from_millis(u64::from(idle_ms / 2)).max(LEAST_HEARTBEAT)
}

async fn seated(
    house: Arc<House>,
    (visitor, mut permits): (Visitor, Permits),
    line: Line,
    open: &Open,
    seat: Seat,
) -> Connection {
    permits.stranger = None;
    let admitted = Arc::clone(&seat.admitted);
    house.admission.connected(&admitted).await;
    let now = Instant::now();
    Connection {
        mail: house.admission.mail(&admitted),
        visitor,
        max_frame: open.max_frame_size.unwrap_or(u32::MAX).clamp(MIN_MAX_FRAME, MAX_FRAME),
        heartbeat: open.idle_time_out.filter(|millis| *millis > 0).map(heartbeat),
        house,
        admitted,
        line,
        seat,
        channels: HashMap::new(),
        heard: now,
        said: now,
        keeping: FuturesOrdered::new(),
        calls: HashMap::new(),
        last_call: 0,
        desired: None,
        stalled: false,
        refused_links: 0,
        _permits: permits,
    }
}
