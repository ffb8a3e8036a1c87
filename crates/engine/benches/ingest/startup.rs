//! How long a node with a long log takes to start.

use std::{path::Path, time::Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_chat::Chat;
use samizdat_core::PeerId;
use samizdat_engine::Engine;
use samizdat_store::{Log, Vault, rusqlite::Connection};

use crate::{NOW, cpu_us, figure_line, median};

const ENVELOPES: usize = 100_000;
const ROUNDS: usize = 5;

/// Opens log and vault and starts the engine. Starting reads hour and id of each row only, so the rows may be noise.
pub fn measure() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("log.sqlite"));
    first_start(dir.path());
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (clock, used) = (Instant::now(), cpu_us());
        let engine = start(dir.path());
        wall.push(clock.elapsed().as_secs_f64() * 1e3);
        cpu.push((cpu_us() - used) / 1e3);
        assert_eq!(engine.held(), ENVELOPES);
    }
    println!("start with {ENVELOPES} envelopes: {:.0} ms on the wall, {:.0} ms of processor time", median(&wall), median(&cpu));
    figure_line("start_cpu_ms", median(&cpu), "<=", 300.0);
    figure_line("start_wall_ms", median(&wall), "<=", 300.0);
}

fn start(dir: &Path) -> Engine {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let chat = Chat::open(Vault::open(dir, None, Chat::MIGRATIONS, &mut rng).unwrap(), [2; 32]).unwrap();
    let log = Log::open(&dir.join("log.sqlite"), 1 << 40).unwrap();
    Engine::new(log, chat, [3; 32], PeerId([4; 32]), Vec::new(), NOW).unwrap()
}

/// The conversations have read everything, as those of a node that took the envelopes in one by one.
fn first_start(dir: &Path) {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut chat = Chat::open(Vault::open(dir, None, Chat::MIGRATIONS, &mut rng).unwrap(), [2; 32]).unwrap();
    chat.read_up_to(ENVELOPES as i64);
    chat.tick(NOW).unwrap();
    drop(chat);
    drop(start(dir));
}

fn fill(path: &Path) {
    drop(Log::open(path, 1 << 40).unwrap());
    let mut rng = ChaCha20Rng::from_seed([6; 32]);
    let mut conn = Connection::open(path).unwrap();
    let tx = conn.transaction().unwrap();
    {
        let mut insert = tx
            .prepare("INSERT INTO envelope(id, kind, hour, expires, topic, worth, bytes) VALUES(?1, 3, ?2, ?3, ?4, 300000, ?5)")
            .unwrap();
        for n in 0..ENVELOPES {
            let (mut id, mut topic, mut bytes) = ([0; 32], [0; 16], vec![0; 560]);
            rng.fill_bytes(&mut id);
            rng.fill_bytes(&mut topic);
            rng.fill_bytes(&mut bytes);
            let hour = NOW.hour().0 - 300 + (n * 300 / ENVELOPES) as u32;
            insert.execute((id, hour, hour + 336, topic, bytes)).unwrap();
        }
    }
    tx.commit().unwrap();
}
