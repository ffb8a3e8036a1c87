//! Passphrases of clusters. Argon2id takes a good part of a second: here, in a thread of its own, and not in the node's loop, which
//! knows doors only.

use data_encoding::BASE32_NOPAD;
use samizdat_api::{ApiError, meeting::Secret};
use samizdat_cluster::{
    link::OpenDoor,
    phrase::{Phrase, PhraseError},
};
use tokio::{sync::Semaphore, task::spawn_blocking};
use zeroize::Zeroizing;

use super::{answer::Failure, limits::PHRASES_AT_ONCE};

static TURN: Semaphore = Semaphore::const_new(PHRASES_AT_ONCE);

/// The link for which a passphrase stands.
pub(super) async fn link_of(passphrase: Secret) -> Result<String, Failure> {
    let phrase: Phrase = passphrase.reveal().parse().map_err(wrong)?;
    stretched(phrase).await.map(|(_, door)| door.link.to_string())
}

/// A fresh passphrase, and the door for which it stands.
pub(super) async fn draw(words: u8) -> Result<(Secret, Secret), Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|e| ApiError::internal(format!("no randomness: {e}")))?;
    let phrase = Phrase::draw(usize::from(words), &seed).map_err(wrong)?;
    stretched(phrase)
        .await
        .map(|(phrase, door)| (Secret::new(phrase.text().as_str()), Secret::new(BASE32_NOPAD.encode(&*door.secret()))))
}

async fn stretched(phrase: Phrase) -> Result<(Phrase, OpenDoor), Failure> {
    let gone = || Failure::from(ApiError::internal("the node is ending"));
    let turn = TURN.acquire().await.map_err(|_| gone())?;
    let work = move || {
        let door = phrase.door();
        // Held until the memory is free, also where whoever asked has gone.
        drop(turn);
        door.map(|door| (phrase, door))
    };
    spawn_blocking(work).await.map_err(|_| gone())?.map_err(wrong)
}

fn wrong(why: PhraseError) -> Failure {
    Failure::usage(why.to_string())
}
