#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;

fn secret(n: u8) -> PeerSecret {
    PeerSecret([n; 32])
}

fn fields() -> NodeFields {
    NodeFields {
        issued: NOW,
        lifetime_s: 3600,
        roles: Roles::default().with(Role::Relay),
        addrs: vec!["203.0.113.7:4001".parse().unwrap(), "[2001:db8::7]:4001".parse().unwrap()],
        relay: Some(RelayOffer {
            service: RelayService { port: 443, discovery_port: 7842, certificate: [7; 32] },
            families: Families::BOTH,
        }),
        via: vec![Via { at: "198.51.100.1:443".parse().unwrap(), certificate: [8; 32] }],
    }
}

fn read(bytes: &[u8]) -> Result<NodeRecord, BadRecord> {
    NodeRecordIn::decode(bytes)?.verify(NOW)
}

fn refused(change: impl Fn(&mut NodeFields)) -> BadRecord {
    let mut fields = fields();
    change(&mut fields);
    NodeRecord::sign(&secret(1), fields).unwrap_err()
}

#[test]
fn a_record_survives() {
    let record = NodeRecord::sign(&secret(1), fields()).unwrap();
    let read = read(record.bytes()).unwrap();
    assert_eq!(read, record);
    assert_eq!((read.peer(), read.fields()), (secret(1).peer(), &fields()));
    assert_eq!(read.prefix(), Some(Prefix::V4([203, 0, 113])));
}

#[test]
fn the_fullest_record_fits() {
    let mut full = fields();
    full.issued = u64::from(u32::MAX) * 2;
    full.lifetime_s = RECORD_LIFETIME_MAX_S;
    full.roles = Roles::from_bits(u32::MAX);
    full.addrs = (1..=RECORD_ADDRS_MAX).map(|i| format!("[2001:db8::{i}]:65535").parse().unwrap()).collect();
    full.addrs[0] = "203.0.113.7:65535".parse().unwrap();
    let service = RelayService { port: 65535, discovery_port: 65535, certificate: [255; 32] };
    full.relay = Some(RelayOffer { service, families: Families::BOTH });
    full.via = vec![Via { at: Dual::of(full.addrs.clone()).unwrap(), certificate: [255; 32] }; RECORD_VIA_MAX];
    let record = NodeRecord::sign(&secret(1), full).unwrap();
    assert!(record.bytes().len() <= RECORD_MAX, "{}", record.bytes().len());
}

#[test]
fn a_relay_is_where_its_node_says_that_it_was_proven() {
    let at = |v4, v6| {
        let mut fields = fields();
        fields.relay.as_mut().unwrap().families = Families { v4, v6 };
        NodeRecord::sign(&secret(1), fields.clone()).unwrap();
        fields.relay_at().unwrap().to_string()
    };
    assert_eq!(at(true, true), "203.0.113.7:443+[2001:db8::7]:443");
    assert_eq!((at(true, false).as_str(), at(false, true).as_str()), ("203.0.113.7:443", "[2001:db8::7]:443"));
}

#[test]
fn of_two_addresses_of_one_kind_a_relay_has_one() {
    let addrs = ["[2001:db8::7]:443", "203.0.113.7:443", "203.0.113.8:443", "[::ffff:203.0.113.9]:443"];
    let dual = Dual::of(addrs.map(|addr| addr.parse().unwrap())).unwrap();
    assert_eq!(dual.to_string(), "203.0.113.7:443+[2001:db8::7]:443");
    assert_eq!((dual.to_string().parse(), dual.families()), (Ok(dual), Families::BOTH));
    assert!(dual.has(dual.first()) && Dual::of([]).is_none());
    for text in ["203.0.113.7", "203.0.113.7:1+203.0.113.8:1", "[2001:db8::7]:1+203.0.113.7:1", "203.0.113.7:1+", "+"] {
        assert_eq!(text.parse::<Dual>(), Err(BadDual), "{text}");
    }
    let twice = |addr: &str| {
        let mut fields = fields();
        fields.via = vec![Via { at: "203.0.113.7:443+[2001:db8::7]:443".parse().unwrap(), certificate: [8; 32] }];
        let mut bytes = encode(&secret(1).peer(), &fields);
        let place = bytes.windows(6).position(|window| window == [203, 0, 113, 7, 1, 187]).unwrap();
        let other = address::encode(&addr.parse().unwrap());
        let head = 0x40 + u8::try_from(other.len()).unwrap();
        bytes.splice(place - 1..place + 6, [vec![head], other].concat());
        NodeRecordIn::decode(&[bytes, vec![0; SIGNATURE_LEN]].concat()).map(|_| ())
    };
    assert_eq!(twice("203.0.113.7:443"), Ok(()), "only the signature is missing");
    assert_eq!(twice("[2001:db8::8]:443"), Err(BadRecord::Malformed));
}

#[test]
fn mallory_signs_for_nobody_else() {
    let record = NodeRecord::sign(&secret(1), fields()).unwrap();
    let mut stolen = record.bytes().to_vec();
    let at = stolen.windows(32).position(|part| part == secret(1).peer().0).unwrap();
    stolen[at..at + 32].copy_from_slice(&secret(2).peer().0);
    assert_eq!(read(&stolen), Err(BadRecord::Signature));
    for i in 0..record.bytes().len() {
        let mut bent = record.bytes().to_vec();
        bent[i] ^= 1;
        assert!(read(&bent).is_err(), "byte {i}");
    }
}

#[test]
fn a_record_holds_for_its_time_and_the_slack_of_clocks() {
    let record = NodeRecord::sign(&secret(1), fields()).unwrap();
    let at = |unix_s| NodeRecordIn::decode(record.bytes()).unwrap().verify(unix_s);
    assert!(at(NOW - 2 * HOUR).is_ok() && at(NOW + 3 * HOUR).is_ok());
    assert_eq!(at(NOW - 2 * HOUR - 1), Err(BadRecord::Future));
    assert_eq!(at(NOW + 3 * HOUR + 1), Err(BadRecord::Expired));
    assert!(record.holds(NOW) && !record.holds(NOW + 3 * HOUR + 1));
}

#[test]
fn no_record_names_a_place_that_is_not_public() {
    for addr in [
        "10.0.0.1:1",
        "192.168.1.1:1",
        "172.16.0.1:1",
        "127.0.0.1:1",
        "169.254.0.1:1",
        "100.64.0.1:1",
        "0.0.0.0:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "240.0.0.1:1",
        "198.18.0.1:1",
        "[::1]:1",
        "[::]:1",
        "[fe80::1]:1",
        "[fc00::1]:1",
        "[ff02::1]:1",
        "[2002:a00:1::]:1",
        "[64:ff9b::a00:1]:1",
        "203.0.113.1:0",
    ] {
        let addr: SocketAddr = addr.parse().unwrap();
        assert_eq!(refused(|fields| fields.addrs[0] = addr), BadRecord::Address, "{addr}");
        assert_eq!(refused(|fields| fields.via[0].at = addr.into()), BadRecord::Address, "{addr}");
    }
    // An IPv4 address in the clothes of IPv6 would be a second way to write it.
    assert_eq!(refused(|fields| fields.addrs[0] = "[::ffff:203.0.113.7]:1".parse().unwrap()), BadRecord::Malformed);
    for addr in ["8.8.8.8:1", "203.0.113.1:1", "[2606:4700::1]:1", "[2001:db8::1]:1", "[2002:cb00:7101::]:1"] {
        let mut good = fields();
        good.addrs = vec![addr.parse().unwrap()];
        good.relay = good.relay.map(|relay| RelayOffer::on(relay.service, &good.addrs));
        assert!(NodeRecord::sign(&secret(1), good).is_ok(), "{addr}");
    }
}

#[test]
fn a_record_that_contradicts_itself_is_none() {
    assert_eq!(refused(|fields| fields.relay = None), BadRecord::Contradiction);
    assert_eq!(refused(|fields| fields.roles = Roles::default()), BadRecord::Contradiction);
    assert_eq!(refused(|fields| fields.addrs.clear()), BadRecord::Contradiction);
    assert_eq!(refused(|fields| fields.relay.as_mut().unwrap().service.port = 0), BadRecord::Contradiction);
    assert_eq!(refused(|fields| fields.relay.as_mut().unwrap().families = Families::default()), BadRecord::Contradiction);
    assert_eq!(refused(|fields| fields.addrs.truncate(1)), BadRecord::Contradiction, "a relay of IPv6 without an address");
    assert_eq!(refused(|fields| fields.addrs.push(fields.addrs[0])), BadRecord::Malformed);
    assert_eq!(refused(|fields| fields.lifetime_s = 0), BadRecord::Malformed);
    assert_eq!(refused(|fields| fields.lifetime_s = RECORD_LIFETIME_MAX_S + 1), BadRecord::Malformed);
}

#[test]
fn the_later_record_counts_and_of_one_second_everybody_takes_the_same() {
    let at = |issued, lifetime_s| NodeRecord::sign(&secret(1), NodeFields { issued, lifetime_s, ..fields() }).unwrap();
    assert!(at(NOW + 1, 60).supersedes(&at(NOW, 3600)) && !at(NOW, 3600).supersedes(&at(NOW + 1, 60)));
    let (one, other) = (at(NOW, 60), at(NOW, 61));
    assert_ne!(one.supersedes(&other), other.supersedes(&one));
    assert!(!one.supersedes(&one));
}

proptest! {
    #[test]
    fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        if let Ok(record) = NodeRecordIn::decode(&bytes) {
            prop_assert!(record.verify(NOW).is_err());
        }
    }

    #[test]
    fn bent_records_are_refused_and_none_panics(at in 0usize..300, to: u8, cut in 0usize..300) {
        let record = NodeRecord::sign(&secret(1), fields()).unwrap();
        let mut bytes = record.bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut % bytes.len());
        prop_assert_eq!(read(&bytes).is_ok(), bytes == record.bytes());
    }
}

#[test]
fn bits_of_roles_that_this_version_does_not_know_are_kept_under_the_signature() {
    let bits = Roles::default().with(Role::Relay).with(Role::Custodian).with(Role::Mix).bits() | 1 << 20;
    let record = NodeRecord::sign(&secret(1), NodeFields { roles: Roles::from_bits(bits), ..fields() }).unwrap();
    let back = read(record.bytes()).unwrap();
    assert_eq!((back.fields().roles.bits(), back.bytes()), (bits, record.bytes()));
}
