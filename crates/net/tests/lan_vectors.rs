//! What a second implementation would check itself against: `vectors/lan.json`. `BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use data_encoding::HEXLOWER;
use samizdat_core::PeerId;
use samizdat_net::lan::hello::{GROUP_V4, GROUP_V6, HelloIn, PORT};
use serde_json::{Value, json};

#[test]
fn the_vectors_are_what_the_code_makes_and_takes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/lan.json");
    let hellos = [(7, 4001), (8, 65_535)].map(|(byte, port)| HelloIn { peer: PeerId([byte; 32]), port });
    let packets: Vec<Value> = hellos
        .iter()
        .map(|hello| json!({ "peer": HEXLOWER.encode(&hello.peer.0), "port": hello.port, "packet": HEXLOWER.encode(&hello.encode()) }))
        .collect();
    let made = json!({ "groups": [GROUP_V4, GROUP_V6], "port": PORT, "packets": packets });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(kept, made);
    for (packet, hello) in kept["packets"].as_array().unwrap().iter().zip(hellos) {
        let bytes = HEXLOWER.decode(packet["packet"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(HelloIn::decode(&bytes), Ok(hello));
    }
}
