//! Trees of states, each written as what it has of another.
//!
//! A Commit without proposals changes one path of a tree, but the library writes all of it, which is nine tenths of a state: a cluster
//! of 200 would fill half a megabyte with each change. So the nodes of a tree lie once in a namespace of their own, a *base*, and a
//! state says which of them its tree has, and what is new. Where much is new, the tree becomes a base itself. A base goes with the last
//! state whose tree is written by it.
//!
//! A tree has public keys only, so what a base keeps of older states opens nothing.

use std::collections::HashMap;

use minicbor::{Decoder, Encoder, data::Type};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{
    codec::CodecError,
    limits::{TREE_NEW_PART, TREE_SHARED_MIN},
    storage::{Label, StorageError, delete_namespace, has_namespace},
};

/// Names a base: the hash of its tree.
pub(super) type Base = [u8; 32];

/// How the library begins a node. To parse a tree takes longer than all else here, and where it is cut decides only how much two
/// have in common.
const NODE: &[u8] = b"\xa1\x64node";

/// Writes a tree to a namespace where none is, by the base of the state before if it has most of it.
pub(super) fn keep(conn: &Connection, to: &[u8], key: &[u8], tree: &[u8], before: Option<&Base>) -> Result<(), StorageError> {
    if tree.len() < TREE_SHARED_MIN {
        return put(conn, to, Label::Tree, key, tree);
    }
    let pieces = pieces(tree);
    let digests: Vec<Base> = pieces.iter().map(|piece| Sha256::digest(piece).into()).collect();
    let mut base = before.copied();
    let mut old = base.map(|base| digests_of(conn, &base)).transpose()?.unwrap_or_default();
    let mut places = places_of(&old);
    let new = pieces.iter().zip(&digests).filter(|(_, digest)| !places.contains_key(*digest)).map(|(piece, _)| piece.len());
    if new.sum::<usize>().saturating_mul(TREE_NEW_PART) > tree.len() {
        (base, old) = (None, digests.clone());
        places = places_of(&digests);
    }
    let base = base.map_or_else(|| write_base(conn, tree, &digests), Ok)?;
    put(conn, to, Label::Tree, key, &recipe(&base, &pieces, &digests, (&old, &places)))?;
    put(conn, to, Label::TreeBase, &[], &base)?;
    put(conn, &namespace(&base), Label::TreeUse, to, &[])
}

/// A tree as the library wrote it, of what [`keep`] wrote for it.
pub(super) fn whole(conn: &Connection, kept: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    // The library writes a map.
    if !matches!(Decoder::new(kept).datatype(), Ok(Type::Array)) {
        return Ok(None);
    }
    let damaged = || CodecError::damaged("a tree that is written by another");
    let mut d = Decoder::new(kept);
    let count = d.array().ok().flatten().and_then(|count| count.checked_sub(1)).ok_or_else(damaged)?;
    let base: Base = d.bytes().ok().and_then(|name| name.try_into().ok()).ok_or_else(damaged)?;
    let sql = "SELECT value FROM mls_state WHERE namespace = ?1 AND label = ?2 AND key = x''";
    let base: Option<Vec<u8>> =
        conn.prepare_cached(sql)?.query_row(params![namespace(&base), Label::Tree as i64], |row| row.get(0)).optional()?;
    let base = base.ok_or_else(damaged)?;
    let old = pieces(&base);
    let mut tree = Vec::with_capacity(base.len());
    for _ in 0..count {
        if matches!(d.datatype(), Ok(Type::Bytes)) {
            tree.extend_from_slice(d.bytes().map_err(|_| damaged())?);
            continue;
        }
        let is_run = d.array().is_ok_and(|len| len == Some(2));
        let (first, count) = (d.u32().map_err(|_| damaged())? as usize, d.u32().map_err(|_| damaged())? as usize);
        let run = old.get(first..first.saturating_add(count)).filter(|_| is_run).ok_or_else(damaged)?;
        run.iter().for_each(|piece| tree.extend_from_slice(piece));
    }
    Ok(Some(tree))
}

/// The state in a namespace is forgotten: so is its base, if no other needs it.
pub(super) fn release(conn: &Connection, state: &[u8]) -> Result<(), StorageError> {
    let sql = "SELECT value FROM mls_state WHERE namespace = ?1 AND label = ?2";
    let base: Option<Vec<u8>> =
        conn.prepare_cached(sql)?.query_row(params![state, Label::TreeBase as i64], |row| row.get(0)).optional()?;
    let Some(base) = base.map(|base| namespace(&base)) else { return Ok(()) };
    conn.prepare_cached("DELETE FROM mls_state WHERE namespace = ?1 AND label = ?2 AND key = ?3")?.execute(params![
        base,
        Label::TreeUse as i64,
        state
    ])?;
    let used = "SELECT 1 FROM mls_state WHERE namespace = ?1 AND label = ?2";
    if !conn.prepare_cached(used)?.exists(params![base, Label::TreeUse as i64])? {
        delete_namespace(conn, &base)?;
    }
    Ok(())
}

fn namespace(base: &[u8]) -> Vec<u8> {
    [b"tree".as_slice(), base].concat()
}

fn write_base(conn: &Connection, tree: &[u8], digests: &[Base]) -> Result<Base, StorageError> {
    let base: Base = Sha256::digest(tree).into();
    let to = namespace(&base);
    // Two states can have one tree, but for the keys.
    if !has_namespace(conn, &to)? {
        put(conn, &to, Label::Tree, &[], tree)?;
        put(conn, &to, Label::TreeDigests, &[], digests.as_flattened())?;
    }
    Ok(base)
}

fn digests_of(conn: &Connection, base: &Base) -> Result<Vec<Base>, StorageError> {
    let sql = "SELECT value FROM mls_state WHERE namespace = ?1 AND label = ?2";
    let found: Option<Vec<u8>> =
        conn.prepare_cached(sql)?.query_row(params![namespace(base), Label::TreeDigests as i64], |row| row.get(0)).optional()?;
    Ok(found.map(|digests| digests.as_chunks().0.to_vec()).unwrap_or_default())
}

/// Where in a base each of its pieces is first.
fn places_of(digests: &[Base]) -> HashMap<Base, usize> {
    digests.iter().enumerate().rev().map(|(place, digest)| (*digest, place)).collect()
}

/// `[base, (bytes or [first, count])...]`: what is new as it is, of the rest which pieces of the base they are.
fn recipe(base: &Base, pieces: &[&[u8]], digests: &[Base], (old, places): (&[Base], &HashMap<Base, usize>)) -> Vec<u8> {
    enum Step {
        New(Vec<u8>),
        Run(usize, usize),
    }
    let mut steps: Vec<Step> = Vec::new();
    for (piece, digest) in pieces.iter().zip(digests) {
        match (steps.last_mut(), places.get(digest)) {
            (Some(Step::New(new)), None) => new.extend_from_slice(piece),
            (_, None) => steps.push(Step::New(piece.to_vec())),
            // Many nodes are alike: those that are empty.
            (Some(Step::Run(first, count)), _) if old.get(first.saturating_add(*count)) == Some(digest) => {
                *count = count.saturating_add(1);
            }
            (_, Some(place)) => steps.push(Step::Run(*place, 1)),
        }
    }
    let mut e = Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = e.array(steps.len().saturating_add(1) as u64).and_then(|e| e.bytes(base)).and_then(|e| {
        steps.iter().try_for_each(|step| match step {
            Step::New(new) => e.bytes(new).map(|_| ()),
            Step::Run(first, count) => e.array(2)?.u64(*first as u64)?.u64(*count as u64).map(|_| ()),
        })
    });
    e.into_writer()
}

/// Cuts an encoded tree before each node. What is none may be cut anywhere, but always there: states name pieces of their base by number.
fn pieces(tree: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = tree;
    // Not at the very beginning, or there would be an empty piece.
    while let Some(at) = rest.windows(NODE.len()).skip(1).position(|window| window == NODE) {
        let (piece, after) = rest.split_at(at.saturating_add(1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

fn put(conn: &Connection, to: &[u8], label: Label, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
    conn.prepare_cached("INSERT INTO mls_state VALUES (?1, ?2, ?3, ?4)")?.execute(params![to, label as i64, key, value])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use proptest::prelude::*;

    use super::*;
    use crate::mls::MLS_SCHEMA;

    /// As the library encodes one: a map of the tree, which is a map of lists of nodes, and of its hash.
    fn tree(nodes: &[u8]) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.map(2).unwrap().str("tree").unwrap().map(2).unwrap();
        for list in ["leaf_nodes", "parent_nodes"] {
            e.str(list).unwrap().array(nodes.len() as u64).unwrap();
            for node in nodes {
                match node {
                    0 => e.map(1).unwrap().str("node").unwrap().null().unwrap(),
                    node => e.map(1).unwrap().str("node").unwrap().bytes(&[*node; 1200]).unwrap(),
                };
            }
        }
        e.str("tree_hash").unwrap().bytes(&Sha256::digest(nodes)).unwrap();
        e.into_writer()
    }

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MLS_SCHEMA).unwrap();
        conn
    }

    fn one<T: rusqlite::types::FromSql>(conn: &Connection, sql: &str, namespace: &[u8]) -> Option<T> {
        conn.query_row(sql, [namespace], |row| row.get(0)).optional().unwrap()
    }

    fn read(conn: &Connection, namespace: &[u8]) -> Vec<u8> {
        let kept: Vec<u8> = one(conn, "SELECT value FROM mls_state WHERE namespace = ?1 AND label = 2", namespace).unwrap();
        whole(conn, &kept).unwrap().unwrap_or(kept)
    }

    fn base(conn: &Connection, namespace: &[u8]) -> Option<Base> {
        one(conn, "SELECT value FROM mls_state WHERE namespace = ?1 AND label = 67", namespace)
    }

    fn rows(conn: &Connection) -> (u32, usize) {
        let sql = "SELECT count(*), coalesce(total(length(value)), 0) FROM mls_state";
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get::<_, f64>(1)? as usize))).unwrap()
    }

    fn forget(conn: &Connection, namespace: &[u8]) {
        release(conn, namespace).unwrap();
        delete_namespace(conn, namespace).unwrap();
    }

    proptest! {
        #[test]
        fn a_tree_is_read_as_it_was_written(
            first in proptest::collection::vec(any::<u8>(), 0..40),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..12),
        ) {
            let (conn, mut nodes) = (database(), first);
            let mut all = vec![tree(&nodes)];
            for (place, node, grows) in changes {
                match place.index(nodes.len() + 1) {
                    end if end == nodes.len() || grows => nodes.push(node),
                    place => nodes[place] = node,
                }
                all.push(tree(&nodes));
            }
            let states = (0..=255u8).map(|state| [state]);
            let mut before: Option<Base> = None;
            for (state, tree) in states.clone().zip(&all) {
                keep(&conn, &state, b"group", tree, before.as_ref()).unwrap();
                before = base(&conn, &state);
            }
            for (state, tree) in states.zip(&all) {
                prop_assert_eq!(&read(&conn, &state), tree);
                forget(&conn, &state);
            }
            prop_assert_eq!(rows(&conn).0, 0, "nothing is left");
        }

        #[test]
        fn whatever_lies_there_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = whole(&database(), &bytes);
            prop_assert_eq!(pieces(&bytes).concat(), bytes);
        }
    }

    #[test]
    fn what_most_of_is_known_costs_little_and_what_is_new_is_written_whole() {
        let (conn, mut nodes) = (database(), (1..=50).collect::<Vec<u8>>());
        keep(&conn, b"a", b"group", &tree(&nodes), None).unwrap();
        let (_, first) = rows(&conn);
        nodes[7] = 200;
        keep(&conn, b"b", b"group", &tree(&nodes), base(&conn, b"a").as_ref()).unwrap();
        let (_, second) = rows(&conn);
        // The node in both lists, and the last one with the hash behind it.
        assert!(second - first < 5000, "{}", second - first);
        assert_eq!(base(&conn, b"a"), base(&conn, b"b"));
        let other: Vec<u8> = (100..150).collect();
        keep(&conn, b"c", b"group", &tree(&other), base(&conn, b"b").as_ref()).unwrap();
        assert_ne!(base(&conn, b"c"), base(&conn, b"b"));
        assert_eq!(read(&conn, b"c"), tree(&other));
    }

    #[test]
    fn a_base_stays_for_as_long_as_a_state_needs_it() {
        let (conn, mut nodes) = (database(), (1..=50).collect::<Vec<u8>>());
        keep(&conn, b"a", b"group", &tree(&nodes), None).unwrap();
        nodes[7] = 200;
        keep(&conn, b"b", b"group", &tree(&nodes), base(&conn, b"a").as_ref()).unwrap();
        forget(&conn, b"a");
        assert_eq!(read(&conn, b"b"), tree(&nodes));
        forget(&conn, b"b");
        assert_eq!(rows(&conn).0, 0);
    }

    #[test]
    fn a_tree_whose_base_is_gone_is_an_error() {
        let conn = database();
        keep(&conn, b"a", b"group", &tree(&[1; 50]), None).unwrap();
        let kept: Vec<u8> = one(&conn, "SELECT value FROM mls_state WHERE namespace = ?1 AND label = 2", b"a").unwrap();
        forget(&conn, b"a");
        assert!(whole(&conn, &kept).is_err());
    }
}
