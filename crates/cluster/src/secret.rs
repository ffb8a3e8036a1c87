//! Secret ballots: who voted everybody sees, how nobody, and what came out everybody can verify. Experimental.
//!
//! Members drawn by rank, the trustees, make a key of which each holds a part. Ballots are encrypted under it, with a proof that
//! each says one thing; they are added up encrypted; and as many trustees as are needed open the sum, with a proof, too. On what makes
//! the key and what is opened they agree in a [`Talk`]. From the [`Panel`] of a motion a [`Setup`] makes the [`Key`], an [`Urn`] the
//! [`Verdict`], and a [`TranscriptIn`] shows it to those who were not there.
//!
//! Byte by byte in docs/protocol/cluster-secret.md; what it promises and what not, in docs/adr/0015-anonymous-and-secret.md.

mod agree;
mod ballot;
mod complaint;
mod dealing;
mod group;
mod opening;
mod panel;
mod setup;
mod step;
mod transcript;
mod urn;

pub use agree::{BadWord, Decision, DecisionIn, Pick, Stage, Subject, Talk, Word, WordIn, round_after};
pub use ballot::{BadSecretBallot, SecretBallot, SecretBallotId, SecretBallotIn, TwoBallots};
pub use complaint::{BadComplaint, Complaint, ComplaintIn};
pub use dealing::{BadDealing, BadShare, Dealing, DealingId, DealingIn, Share, ShareIn, TrusteeSecret};
pub use opening::{BadOpening, Opening, OpeningIn};
pub use panel::{NotSecret, Panel};
pub use setup::{Heard, Key, KeyId, Setup};
pub use step::{StepIn, StepKind};
pub use transcript::{BadTranscript, TranscriptIn};
pub use urn::{CannotOpen, CountId, Urn, Verdict};

#[cfg(test)]
pub(crate) mod tests;
