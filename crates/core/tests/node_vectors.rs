//! What a second implementation would check itself against: `vectors/node.json`. `BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use data_encoding::HEXLOWER;
use samizdat_core::{
    NodeRecord, NodeRecordIn, PeerSecret,
    record::{Families, NodeFields, RelayOffer, RelayService, Role, Roles, Via},
};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

fn records() -> Vec<(&'static str, PeerSecret, NodeFields)> {
    let plain = NodeFields {
        issued: NOW,
        lifetime_s: 3600,
        roles: Roles::default(),
        addrs: vec!["203.0.113.7:4001".parse().unwrap()],
        relay: None,
        via: Vec::new(),
    };
    let hidden = NodeFields {
        addrs: Vec::new(),
        via: vec![
            Via { at: "198.51.100.1:443+[2001:db8::1]:443".parse().unwrap(), certificate: [8; 32] },
            Via { at: "[2001:db8::9]:8443".parse().unwrap(), certificate: [9; 32] },
        ],
        ..plain.clone()
    };
    let relay = NodeFields {
        roles: Roles::default().with(Role::Relay).with(Role::Entry),
        addrs: vec!["203.0.113.7:4001".parse().unwrap(), "[2001:db8::7]:4001".parse().unwrap()],
        relay: Some(RelayOffer {
            service: RelayService { port: 443, discovery_port: 7842, certificate: [7; 32] },
            families: Families::BOTH,
        }),
        ..plain.clone()
    };
    vec![
        ("a node with a public address", PeerSecret([1; 32]), plain),
        ("a node behind a router, reached through two relays", PeerSecret([2; 32]), hidden),
        ("a relay that is an entry point", PeerSecret([3; 32]), relay),
    ]
}

fn vector((what, secret, fields): (&str, PeerSecret, NodeFields)) -> Value {
    let record = NodeRecord::sign(&secret, fields).unwrap();
    let fields = record.fields();
    json!({
        "what": what,
        "secret": HEXLOWER.encode(&secret.0),
        "peer": HEXLOWER.encode(&record.peer().0),
        "issued": fields.issued,
        "lifetime": fields.lifetime_s,
        "roles": fields.roles.bits(),
        "addresses": fields.addrs,
        "relay": fields.relay.map(|RelayOffer { service, families }| json!({
            "ports": [service.port, service.discovery_port],
            "certificate": HEXLOWER.encode(&service.certificate),
            "ipv4": families.v4,
            "ipv6": families.v6,
        })),
        "via": fields.via.iter().map(|via| json!([via.at.iter().collect::<Vec<_>>(), HEXLOWER.encode(&via.certificate)])).collect::<Vec<_>>(),
        "record": HEXLOWER.encode(record.bytes()),
    })
}

#[test]
fn the_vectors_are_what_the_code_makes_and_takes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/node.json");
    let made = json!({ "now": NOW, "records": records().into_iter().map(vector).collect::<Vec<_>>() });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(kept, made);
    for record in kept["records"].as_array().unwrap() {
        let bytes = HEXLOWER.decode(record["record"].as_str().unwrap().as_bytes()).unwrap();
        let read = NodeRecordIn::decode(&bytes).unwrap().verify(NOW).unwrap();
        assert_eq!(HEXLOWER.encode(&read.peer().0), record["peer"]);
    }
}
