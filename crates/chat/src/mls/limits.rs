//! Every bound of this module.

/// Longest ciphertext that is looked at, bytes: room for a whole envelope body.
pub const MAX_CIPHERTEXT: usize = 1 << 20;
/// Longest Welcome that is looked at, bytes. One for two members is about 4 KiB.
pub const MAX_WELCOME: usize = 16 << 10;
/// Longest KeyPackage that is looked at, bytes. Ours are about 2.7 KiB.
pub const MAX_KEY_PACKAGE: usize = 8 << 10;
/// Longest credential inside a leaf, bytes. Ours has 102.
pub(super) const MAX_CREDENTIAL: usize = 128;

/// How far behind the newest message of a sender one may arrive and still be read, messages per epoch. Replicas hand
/// messages over in any order, so the library's own default of 5 would lose most of them. A skipped key costs about
/// 125 bytes of state until its message arrives or the epoch is forgotten; a used one costs one byte.
pub const OUT_OF_ORDER: u32 = 512;
/// How far ahead a message may be: each step is one key derivation, so this bounds what a hostile peer makes us compute.
pub const MAX_FORWARD: u32 = 4096;
/// Epochs that stay readable after a rotation. Rotations alternate between the two members, so nobody can run ahead of
/// the other by more than one.
pub const PAST_EPOCHS: usize = 3;

/// Longest Welcome of a cluster, bytes: one for 500 members is about 1.3 MB.
pub const MAX_CLUSTER_WELCOME: usize = 4 << 20;
/// Longest handshake message of a cluster, bytes: a Commit that refreshes 500 members is about 0.6 MB.
pub const MAX_HANDSHAKE: usize = 2 << 20;
/// Groups of clusters in memory. One of 200 members takes about a megabyte.
pub(crate) const GROUPS_HELD: usize = 8;
/// Shortest tree that is written by what it has of another, bytes: that of some eight members.
pub(super) const TREE_SHARED_MIN: usize = 16 << 10;
/// Part of a tree that may be new before it is written whole.
pub(super) const TREE_NEW_PART: usize = 4;
/// Longest nickname, bytes.
pub const MAX_NICK: usize = 64;
/// Longest context of a cluster (its charter), bytes.
pub const MAX_CONTEXT: usize = 1 << 10;
