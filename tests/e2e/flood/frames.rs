//! HTTP/2 as octets (RFC 9113, RFC 7541), because no honest library writes what is written here.

use tokio::io::{AsyncRead, AsyncReadExt as _};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// `SETTINGS_INITIAL_WINDOW_SIZE` of nothing: the peer may send no octet of an answer's body.
pub(super) const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// A frame's header.
pub(super) fn header(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    let mut octets = length[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = header(payload.len(), kind, flags, stream);
    octets.extend(payload);
    octets
}

/// The greeting of a client.
pub(super) fn greeting(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

/// The header block of a gRPC request, without a table and without Huffman's code.
pub(super) fn request(call: &str) -> Vec<u8> {
    // :method POST and :scheme https by their numbers, :path and :authority by the numbers of their names.
    let mut block = vec![0x83, 0x87, 0x04];
    block.extend(text(call));
    block.push(0x01);
    block.extend(text("localhost"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        block.extend(field(name, value));
    }
    block
}

/// A header field that is not kept in a table.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0], text(name).as_slice(), &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 127, "one octet of length");
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// Reads frames until one is of this kind; false when the connection ends before.
pub(super) async fn hear(stream: &mut (impl AsyncRead + Unpin), kinds: &[u8]) -> bool {
    let mut header = [0; 9];
    loop {
        if stream.read_exact(&mut header).await.is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).await.is_err() {
            return false;
        }
        if kinds.contains(&header[3]) {
            return true;
        }
    }
}
