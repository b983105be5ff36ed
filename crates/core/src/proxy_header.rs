//! The PROXY protocol, versions 1 and 2: what a trusted load balancer says of the client before the
//! client's own bytes (haproxy, `doc/proxy-protocol.txt`).
//!
//! Pure: the edge reads exactly as many bytes as [`Step::Need`] asks for, so that none of the
//! client's own is taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How version 2 begins.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of version 2.
const V2_HEAD_BYTES: usize = 16;

/// More extensions than this no load balancer sends.
const V2_REST_BYTES_MAX: usize = 1_024;

/// The longest line of version 1, its end included.
const V1_BYTES_MAX: usize = 107;

/// The shortest, `PROXY UNKNOWN` and the line's end: what may be read before one looks.
const V1_BYTES_MIN: usize = 15;

/// What the bytes up to now come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At least so many bytes of the header are still to come.
    Need(usize),
    /// The header is whole. `None`: the proxy speaks for itself, as health checks do.
    Client(Option<IpAddr>),
    /// It is no header.
    Malformed,
}

/// Looks at the beginning of a socket's bytes, of which none lies behind the header.
#[must_use]
pub fn step(bytes: &[u8]) -> Step {
    let shared = bytes.len().min(V2_SIGNATURE.len());
    if bytes[..shared] == V2_SIGNATURE[..shared] {
        return version_two(bytes);
    }
    version_one(bytes)
}

fn version_one(bytes: &[u8]) -> Step {
    const START: &[u8] = b"PROXY ";
    let shared = bytes.len().min(START.len());
    if bytes[..shared] != START[..shared] || bytes.len() > V1_BYTES_MAX {
        return Step::Malformed;
    }
    if bytes.len() < V1_BYTES_MIN {
        return Step::Need(V1_BYTES_MIN - bytes.len());
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        let is_full = bytes.len() == V1_BYTES_MAX;
        return if is_full { Step::Malformed } else { Step::Need(1) };
    };
    let Ok(line) = std::str::from_utf8(line) else { return Step::Malformed };
    let parts: Vec<&str> = line.split(' ').collect();
    match parts.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Step::Client(None),
        ["PROXY", family, source, destination, ports @ ..] => {
            let (source, destination) = (source.parse::<IpAddr>(), destination.parse::<IpAddr>());
            let (Ok(source), Ok(destination)) = (source, destination) else {
                return Step::Malformed;
            };
            let is_family = match *family {
                "TCP4" => source.is_ipv4() && destination.is_ipv4(),
                "TCP6" => source.is_ipv6() && destination.is_ipv6(),
                _ => false,
            };
            let are_ports =
                ports.len() == 2 && ports.iter().all(|port| port.parse::<u16>().is_ok());
            if is_family && are_ports { Step::Client(Some(source)) } else { Step::Malformed }
        }
        _ => Step::Malformed,
    }
}

fn version_two(bytes: &[u8]) -> Step {
    let Some(head) = bytes.get(..V2_HEAD_BYTES) else {
        // As many as version 1 could have at least, so that neither is read beyond its end.
        return Step::Need(V2_HEAD_BYTES.min(V1_BYTES_MIN.max(bytes.len() + 1)) - bytes.len());
    };
    let (command, family) = (head[12], head[13]);
    let rest_bytes = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if command >> 4 != 2 || command & 0xf > 1 || rest_bytes > V2_REST_BYTES_MAX {
        return Step::Malformed;
    }
    let rest = &bytes[V2_HEAD_BYTES..];
    if rest.len() < rest_bytes {
        return Step::Need(rest_bytes - rest.len());
    }
    // LOCAL, or a family without addresses of ours.
    let is_local = command & 0xf == 0;
    match family >> 4 {
        1 if !is_local => match rest.first_chunk::<4>() {
            Some(source) if rest_bytes >= 12 => Step::Client(Some(Ipv4Addr::from(*source).into())),
            _ => Step::Malformed,
        },
        2 if !is_local => match rest.first_chunk::<16>() {
            Some(source) if rest_bytes >= 36 => {
                Step::Client(Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical()))
            }
            _ => Step::Malformed,
        },
        _ => Step::Client(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as the edge does: what is asked for, and nothing more.
    fn read(bytes: &[u8]) -> (Step, usize) {
        let mut taken = 0;
        loop {
            match step(&bytes[..taken]) {
                Step::Need(more) => {
                    assert!(more > 0);
                    if taken + more > bytes.len() {
                        return (Step::Need(more), taken);
                    }
                    taken += more;
                }
                end => return (end, taken),
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [V2_SIGNATURE, &[command, family, length[0], length[1]][..], rest].concat()
    }

    #[test]
    fn headers_of_both_versions_name_the_client_and_take_none_of_its_bytes() {
        let v4: IpAddr = "203.0.113.9".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let v4_rest = [&[203, 0, 113, 9, 10, 0, 0, 1][..], &[1, 2, 3, 4]].concat();
        let v6_rest = {
            let IpAddr::V6(v6) = v6 else { unreachable!() };
            [&v6.octets()[..], &[0; 16], &[1, 2, 3, 4], b"\x04\0\x01x"].concat()
        };
        for (header, client) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 5123 443\r\n".to_vec(), Some(v4)),
            (b"PROXY TCP6 2001:db8::1 fd00::1 5123 443\r\n".to_vec(), Some(v6)),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4_rest), Some(v4)),
            (v2(0x21, 0x21, &v6_rest), Some(v6)),
            (v2(0x20, 0x11, &v4_rest), None),
            (v2(0x21, 0x00, b""), None),
        ] {
            let all = [&header[..], b"GET /v1/ws HTTP/1.1\r\n"].concat();
            assert_eq!(read(&all), (Step::Client(client), header.len()), "{header:?}");
            for end in 0..header.len() {
                assert!(matches!(read(&header[..end]).0, Step::Need(_)), "{header:?} to {end}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_and_never_read_on_for_ever() {
        let long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        for wrong in [
            b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00".to_vec(),
            b"PROXY TCP4 203.0.113.9 fd00::1 5123 443\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 5123\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 5123 70000\r\n".to_vec(),
            b"PROXY TCP5 203.0.113.9 10.0.0.1 5123 443\r\n".to_vec(),
            b"PROXY TCP4 nobody 10.0.0.1 5123 443\r\n".to_vec(),
            long,
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &[0; 1_025]),
        ] {
            assert_eq!(read(&wrong).0, Step::Malformed, "{wrong:?}");
        }
    }
}
