//! The device over HTTPS: one request a reading. HTTP/1.1 by hand, because that is all a small device has.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    DeviceError, DevicePlan, PATIENCE, Reading, Told, broken, closed,
    readings::{ALERT, CONTENT_ENCODING, CONTENT_TYPE},
    tls::Stream,
};

/// Most octets of an answer: a status, some headers and a refusal in words.
const MAX_ANSWER: usize = 64 * 1024;

pub(super) async fn live(
    plan: &DevicePlan,
    mut stream: Stream,
    tell: &mut (dyn FnMut(Told) + Send),
) -> Result<(), DeviceError> {
    for number in 0..plan.count {
        let reading = Reading::numbered(number);
        stream.write_all(request(plan, &reading).as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let late = |_| DeviceError::NotUnderstood(format!("no answer within {} s", PATIENCE.as_secs()));
        let answer = timeout(PATIENCE, answer(&mut stream)).await.map_err(late)??;
        if !(200..300).contains(&answer.status) {
            return Err(DeviceError::Refused(format!("HTTP {}: {}", answer.status, answer.body)));
        }
        if number == 0 {
            tell(Told::Accepted);
        }
        tell(Told::Sent(reading));
    }
    // Nothing can be sent to a device that only asks, so there is nothing to wait for.
    stream.shutdown().await.map_err(broken)
}

fn request(plan: &DevicePlan, reading: &Reading) -> String {
    let body = reading.body(&plan.device_id).to_string();
    let DevicePlan { device_id, host, .. } = plan;
    format!(
        "POST /devices/{device_id}/messages/events?api-version=2021-04-12 HTTP/1.1\r\n\
         Host: {host}\r\n\
         iothub-to: /devices/{device_id}/messages/events\r\n\
         IoTHub-MessageId: {number}\r\n\
         iothub-contenttype: {CONTENT_TYPE}\r\n\
         iothub-contentencoding: {CONTENT_ENCODING}\r\n\
         iothub-app-{ALERT}: {alert}\r\n\
         Content-Length: {octets}\r\n\
         \r\n\
         {body}",
        number = reading.number,
        alert = reading.alert(),
        octets = body.len(),
    )
}

struct Answer {
    status: u16,
    body: String,
}

/// Reads one answer, whose body has a stated length or none.
async fn answer(stream: &mut Stream) -> Result<Answer, DeviceError> {
    let strange = |what: &str| DeviceError::NotUnderstood(what.to_owned());
    let mut octets = Vec::new();
    loop {
        if let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = octets.get(..end).and_then(|head| std::str::from_utf8(head).ok());
            let head = head.ok_or_else(|| strange("headers that are no text"))?;
            let (status, length) = read_head(head).ok_or_else(|| strange("no status"))?;
            let body = octets.get(end + 4..).unwrap_or_default();
            if let Some(body) = body.get(..length) {
                return Ok(Answer { status, body: super::text(body) });
            }
        }
        if octets.len() > MAX_ANSWER {
            return Err(strange("an answer without end"));
        }
        if stream.read_buf(&mut octets).await.map_err(broken)? == 0 {
            return Err(closed());
        }
    }
}

/// The status, and the length of the body.
fn read_head(head: &str) -> Option<(u16, usize)> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    Some((status, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_length() {
        assert_eq!(read_head("HTTP/1.1 204 No Content\r\nDate: x"), Some((204, 0)));
        assert_eq!(read_head("HTTP/1.1 401 Unauthorized\r\nContent-Length: 12"), Some((401, 12)));
        assert_eq!(read_head("SSH-2.0"), None);
    }
}
