//! What a second implementation would check itself against: `vectors/entry.json`. `BLESS=1` writes it anew.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs
)]

use data_encoding::HEXLOWER;
use samizdat_core::{
    NodeRecord, PeerSecret,
    record::{NodeFields, RelayOffer, RelayService, Role, Roles, Via},
};
use samizdat_entry::text::{Slot, Txt, select};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

fn record(secret: u8, issued: u64, full: bool) -> NodeRecord {
    let addrs = ["203.0.113.7:4001", "[2001:db8::7]:4001"].map(|addr| addr.parse().unwrap());
    let service = RelayService { port: 443, discovery_port: 7842, certificate: [7; 32] };
    let relay = full.then(|| RelayOffer::on(service, &addrs));
    let roles = Roles::default().with(Role::Entry);
    let fields = NodeFields {
        issued,
        lifetime_s: 7200,
        roles: if full { roles.with(Role::Relay) } else { roles },
        addrs: addrs.to_vec(),
        relay,
        via: (0..if full { 3 } else { 0 })
            .map(|i| Via { at: format!("[2001:db8::9]:{}", 8443 + i).parse().unwrap(), certificate: [9; 32] })
            .collect(),
    };
    NodeRecord::sign(&PeerSecret([secret; 32]), fields).unwrap()
}

fn strings(txt: &Txt) -> Vec<String> {
    txt.strings().map(|string| String::from_utf8(string.to_vec()).unwrap()).collect()
}

fn txt(strings: &Value) -> Txt {
    Txt::from_strings(strings.as_array().unwrap().iter().map(|string| string.as_str().unwrap().as_bytes()))
}

#[test]
fn the_vectors_are_what_the_code_makes_and_takes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/entry.json");
    let entries: Vec<Value> = [
        ("a short record, one string", record(1, NOW, false)),
        ("a full record, three strings", record(2, NOW, true)),
    ]
    .iter()
    .map(|(what, record)| json!({ "what": what, "record": HEXLOWER.encode(record.bytes()), "txt": strings(&Txt::of(record)) }))
    .collect();
    let forged = {
        let mut cut = strings(&Txt::of(&record(4, NOW, false)));
        let last = cut.last_mut().unwrap();
        let at = last.len() - 5;
        let flipped = if last[at..].starts_with('A') { "B" } else { "A" };
        last.replace_range(at..=at, flipped);
        cut
    };
    let zone = [
        vec!["v=spf1 -all".to_owned()],
        strings(&Txt::of(&record(1, NOW - 3600, false))),
        strings(&Txt::of(&record(1, NOW, false))),
        strings(&Txt::of(&record(3, NOW - 86_400, false))),
        forged,
        vec!["v=samizdat1 AAAA".to_owned()],
        strings(&Txt::of(&record(2, NOW, true))),
    ];
    let txts: Vec<Txt> = zone.iter().map(|strings| Txt::from_strings(strings.iter().map(String::as_bytes))).collect();
    let found = select(&txts, NOW);
    let peers: Vec<String> = found.records.iter().map(|record| HEXLOWER.encode(&record.peer().0)).collect();
    let made = json!({ "now": NOW, "entries": entries, "zone": { "txt": zone, "peers": peers, "dropped": found.dropped } });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(kept, made);
    assert_eq!((peers.len(), found.dropped), (2, 4));
    for entry in kept["entries"].as_array().unwrap() {
        let Slot::Holds(read) = txt(&entry["txt"]).read(NOW) else { panic!("{entry}") };
        assert_eq!(HEXLOWER.encode(read.bytes()), entry["record"]);
    }
}
