//! The states of clusters: MLS groups of many, of which every epoch is kept for a while.
//!
//! A *state* is one instance of an epoch. No operation changes what a state is: a Commit is made and processed on a copy, so
//! that of several Commits for one state each can be followed, and none is final. Each state has two views:
//!
//! * the *application view*, in which messages are written and read. It only moves forward, so no key is used twice.
//! * the *handshake view*, in which our own proposals wait, and of which the copies for Commits are made. The library
//!   refuses to write messages while proposals wait; MLS uses separate keys for the two, so the views do not collide.
//!
//! Which Commit is lawful, and which state is followed, others decide (`samizdat_cluster`). Here is checked what nobody may
//! do whatever was voted for.

use core::{cell::Cell, fmt};

use openmls::{
    extensions::{Extension, ExtensionType, Extensions, RequiredCapabilitiesExtension, UnknownExtension},
    framing::errors::MessageDecryptionError,
    group::{
        GroupContext, GroupId, MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProcessMessageError,
        ProcessedWelcome, StageCommitError, ValidationError, WelcomeError,
    },
    prelude::{
        LeafNodeIndex, LeafNodeParameters, MlsMessageBodyIn, MlsMessageIn, PrivateMessageIn, ProcessedMessage,
        ProcessedMessageContent, Proposal, ProposalOrRefType, Sender, StagedCommit, Welcome,
        tls_codec::{DeserializeBytes, Serialize},
    },
};
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::OpenMlsProvider;
use rusqlite::Connection;
use samizdat_cluster::{ClusterId, MemberId, StateId};
use samizdat_core::identity::IdentitySecret;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    CIPHERSUITE,
    crypto::Crypto,
    error::{GroupError, StateError},
    keys::{self, LeafSigner},
    limits::{MAX_CIPHERTEXT, MAX_CLUSTER_WELCOME, MAX_CONTEXT, MAX_HANDSHAKE},
    member::{self, CONTEXT, MemberKeys},
    pair::ratchet,
    provider::{Provider, Rand},
    storage::{Copied, Label, Storage, StorageError, atomically, delete_namespace, has_namespace},
    tree,
    unit::Held,
};
use crate::shelf::Hands;

const OUTER_LABEL: &str = "samizdat cluster v1";

/// A member as a state knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Who.
    pub member: MemberId,
    /// Where in the tree; messages are sealed by it.
    pub leaf: u32,
    /// What they want to be called.
    pub nick: String,
}

/// What everybody in a state agrees upon.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Snapshot {
    /// The state.
    #[zeroize(skip)]
    pub state: StateId,
    /// How many Commits led to it from the founding.
    pub epoch: u64,
    /// All members, in the order of the tree.
    #[zeroize(skip)]
    pub members: Vec<Leaf>,
    /// What the group agreed on beyond MLS: the charter.
    #[zeroize(skip)]
    pub context: Vec<u8>,
    /// Our place among the members.
    pub own_leaf: u32,
    /// For the outer layer of what is sent in this state.
    pub secret: [u8; 32],
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("state", &self.state).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// What a Commit is to do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// KeyPackages of those who are added.
    pub add: Vec<Vec<u8>>,
    /// Those who are removed.
    pub remove: Vec<MemberId>,
    /// A new context.
    pub context: Option<Vec<u8>>,
    /// Proposals of others to refresh their keys.
    pub updates: Vec<Vec<u8>>,
}

/// What a Commit does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Who made it.
    pub committer: MemberId,
    /// Who is new, and the names of the KeyPackages they came with.
    pub added: Vec<Made>,
    /// Who is gone.
    pub removed: Vec<MemberId>,
    /// The new context, if it changes.
    pub context: Option<Vec<u8>>,
}

/// Who is added by a Commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Who.
    pub member: MemberId,
    /// By which KeyPackage.
    pub key_package: [u8; 32],
    /// Under which nickname.
    pub nick: String,
}

/// A Commit of ours.
#[derive(Debug, Clone)]
pub struct Committed {
    /// For the members of the state that it ends.
    pub commit: Vec<u8>,
    /// For those who are added.
    pub welcome: Option<Vec<u8>>,
    /// What it does.
    pub changed: Changed,
    /// The state that it leads to.
    pub snapshot: Snapshot,
}

/// A Commit of somebody else.
#[derive(Debug, Clone)]
pub struct Processed {
    /// What it does.
    pub changed: Changed,
    /// The state that it leads to; nothing if we are not in it any more.
    pub snapshot: Option<Snapshot>,
}

/// A message from within a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who wrote it, proven by their leaf's signature.
    pub member: MemberId,
    /// What.
    pub plaintext: Vec<u8>,
}

/// All states of a database, with what it takes to work on them.
pub struct Groups<'a> {
    libcrux: &'a CryptoProvider,
    conn: &'a Connection,
    rand: Rand<'a>,
    /// Where groups stay in memory until the unit of work ends; without, each is written at once.
    hands: Option<&'a Hands<'a, Vec<u8>, Held>>,
}

impl fmt::Debug for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Groups")
    }
}

impl<'a> Groups<'a> {
    pub(super) fn new(
        libcrux: &'a CryptoProvider,
        conn: &'a Connection,
        rand: Rand<'a>,
        hands: Option<&'a Hands<'a, Vec<u8>, Held>>,
    ) -> Self {
        Self { libcrux, conn, rand, hands }
    }

    /// Makes who we shall be in a cluster that we ask to join.
    pub fn make_keys(&self, nick: &str) -> Result<MemberKeys, GroupError> {
        let signer = LeafSigner::generate(&self.rand)?;
        self.keys_of(&signer, nick)
    }

    /// Other keys for who we are, to be added anew. The older ones stay good.
    pub fn renew_keys(&self, member: &MemberId, nick: &str) -> Result<MemberKeys, GroupError> {
        let signer = LeafSigner::load(&Storage::new(self.conn, &member::namespace(member)), &[])?.ok_or(GroupError::NoMember)?;
        self.keys_of(&signer, nick)
    }

    fn keys_of(&self, signer: &LeafSigner, nick: &str) -> Result<MemberKeys, GroupError> {
        if !member::is_nick(nick) {
            return Err(GroupError::Malformed);
        }
        let namespace = member::namespace(&MemberId(signer.public()));
        self.atomically(|| {
            let storage = Storage::new(self.conn, &namespace);
            signer.store(&storage, &[])?;
            Ok(member::make(&self.provider(storage), signer, nick)?)
        })
    }

    /// Forgets who we are or wanted to be.
    pub fn forget_keys(&self, member: &MemberId) -> Result<(), GroupError> {
        Ok(delete_namespace(self.conn, &member::namespace(member))?)
    }

    /// The key by which `member`, one of us, signs ballots.
    pub fn signer(&self, member: &MemberId) -> Result<IdentitySecret, GroupError> {
        let signer = LeafSigner::load(&Storage::new(self.conn, &member::namespace(member)), &[])?.ok_or(GroupError::NoMember)?;
        Ok(IdentitySecret::from_seed(*signer.secret().seed()))
    }

    /// Founds a cluster with nobody in it but `us`.
    pub fn found(&self, cluster: &ClusterId, us: &MemberKeys, nick: &str, context: &[u8]) -> Result<Snapshot, GroupError> {
        let signer = self.signer_of(&us.member)?;
        let copy = Copied::default();
        self.atomically(|| {
            let provider = self.provider(copy.storage());
            let group = MlsGroup::builder()
                .with_group_id(group_id(cluster))
                .ciphersuite(CIPHERSUITE)
                .with_capabilities(member::capabilities())
                .lifetime(keys::unlimited())
                .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
                .use_ratchet_tree_extension(true)
                .sender_ratchet_configuration(ratchet())
                .max_past_epochs(0)
                .with_group_context_extensions(extensions(context)?)
                .build(&provider, &signer, member::credential(&signer, nick))
                .map_err(GroupError::library)?;
            self.keep(cluster, group, &copy)
        })
    }

    /// Enters the state that `welcome` leads to, as `us`.
    pub fn join(&self, cluster: &ClusterId, us: &MemberId, welcome: &[u8]) -> Result<Snapshot, GroupError> {
        let welcome = parse_welcome(welcome).ok_or(GroupError::Malformed)?;
        if welcome.ciphersuite() != CIPHERSUITE {
            return Err(GroupError::Malformed);
        }
        let namespace = member::namespace(us);
        let copy = Copied::load(self.conn, &namespace)?;
        self.atomically(|| {
            let provider = self.provider(copy.storage());
            let processed = ProcessedWelcome::new_from_welcome(&provider, &join_config(), welcome).map_err(welcome_error)?;
            let info = processed.unverified_group_info();
            if !processed.psks().is_empty() || *info.group_id() != group_id(cluster) {
                return Err(GroupError::Elsewhere);
            }
            let staged = processed.into_staged_welcome(&provider, None).map_err(welcome_error)?;
            let group = staged.into_group(&provider).map_err(welcome_error)?;
            let own = group.own_leaf_node().map(|leaf| leaf.signature_key().as_slice() == us.0);
            if own != Some(true) {
                return Err(GroupError::Elsewhere);
            }
            // The private halves stay where they are, until whoever asked to join forgets them.
            [Label::KeyPackage, Label::LeafSeed].into_iter().for_each(|label| copy.leave_out(label));
            self.keep(cluster, group, &copy)
        })
    }

    /// Encrypts for all members of a state: a PrivateMessage. Publish it only after the transaction is committed.
    pub fn encrypt(&self, cluster: &ClusterId, state: &StateId, us: &MemberId, plaintext: &[u8]) -> Result<Vec<u8>, GroupError> {
        let signer = self.signer_of(us)?;
        self.in_state(cluster, state, |group, provider| {
            let message = group.create_message(provider, &signer, plaintext).map_err(GroupError::library)?;
            message.to_bytes().map_err(GroupError::library)
        })
    }

    /// Reads what a member sent in a state. The key of the message is gone with the commit of the transaction.
    pub fn decrypt(&self, cluster: &ClusterId, state: &StateId, ciphertext: &[u8]) -> Result<Said, GroupError> {
        let message = parse(ciphertext, MAX_CIPHERTEXT)?;
        self.in_state(cluster, state, |group, provider| {
            let processed = process(group, provider, message)?;
            let member = sender(group, processed.sender()).ok_or(GroupError::NoMember)?;
            match processed.into_content() {
                ProcessedMessageContent::ApplicationMessage(message) => Ok(Said { member, plaintext: message.into_bytes() }),
                ProcessedMessageContent::OwnPrivateMessage | ProcessedMessageContent::OwnPendingCommit => Err(GroupError::Own),
                _ => Err(GroupError::Malformed),
            }
        })
    }

    /// Proposes to refresh our keys with the next Commit of somebody else.
    pub fn propose_update(&self, cluster: &ClusterId, state: &StateId, us: &MemberId) -> Result<Vec<u8>, GroupError> {
        let signer = self.signer_of(us)?;
        let namespace = namespace(cluster, state, View::Handshake);
        // What is in memory of it knows nothing of the proposal.
        self.drop_held(&namespace);
        self.atomically(|| {
            let provider = self.provider(Storage::new(self.conn, &namespace));
            let mut group = load(&provider.storage, cluster)?;
            let proposed = group.propose_self_update(&provider, &signer, LeafNodeParameters::default());
            let (proposal, _) = proposed.map_err(GroupError::library)?;
            proposal.to_bytes().map_err(GroupError::library)
        })
    }

    /// Ends a state: once for each, or it would be lying to somebody. The state itself stays as it is.
    pub fn commit(&self, cluster: &ClusterId, state: &StateId, us: &MemberId, plan: &Plan) -> Result<Committed, GroupError> {
        let signer = self.signer_of(us)?;
        let from = namespace(cluster, state, View::Handshake);
        let packages = plan.add.iter().map(|bytes| Ok(member::verify(bytes, self.libcrux)?.0));
        let packages = packages.collect::<Result<Vec<_>, GroupError>>()?;
        self.atomically(|| {
            let table = Storage::new(self.conn, &from);
            if table.get::<_, bool>(Label::Committed, &())?.is_some() {
                return Err(GroupError::Committed);
            }
            table.put(Label::Committed, &(), &true)?;
            let (copy, mut group) = self.copy(cluster, &from)?;
            let provider = self.provider(copy.storage());
            // What we proposed for others to commit is not for us to commit.
            group.clear_pending_proposals(&provider.storage).map_err(GroupError::library)?;
            self.take_updates(&mut group, &provider, &plan.updates)?;
            let removed = plan.remove.iter().map(|member| leaf_of(&group, member)).collect::<Result<Vec<_>, _>>()?;
            let mut builder = group.commit_builder().force_self_update(true).propose_adds(packages).propose_removals(removed);
            if let Some(context) = &plan.context {
                builder = builder.propose_group_context_extensions(extensions(context)?).map_err(GroupError::library)?;
            }
            let bundle = builder
                .load_psks(&provider.storage)
                .map_err(GroupError::library)?
                .build(provider.rand(), provider.crypto(), &signer, |_| true)
                .map_err(GroupError::library)?
                .stage_commit(&provider)
                .map_err(GroupError::library)?;
            let (commit, welcome, _) = bundle.into_messages();
            let staged = group.pending_commit().ok_or_else(|| GroupError::library("no pending commit"))?;
            let changed = self.changed(&group, staged, group.own_leaf_index())?;
            group.merge_pending_commit(&provider).map_err(GroupError::library)?;
            let commit = commit.to_bytes().map_err(GroupError::library)?;
            let welcome = welcome.map(|welcome| welcome.to_bytes()).transpose().map_err(GroupError::library)?;
            Ok(Committed { commit, welcome, changed, snapshot: self.keep(cluster, group, &copy)? })
        })
    }

    /// Follows a Commit of somebody else from `state`. Nothing of it is final: [`Groups::forget`] undoes it.
    pub fn process(
        &self,
        cluster: &ClusterId,
        state: &StateId,
        commit: &[u8],
        updates: &[Vec<u8>],
    ) -> Result<Processed, GroupError> {
        let message = parse(commit, MAX_HANDSHAKE)?;
        let from = namespace(cluster, state, View::Handshake);
        self.atomically(|| {
            let (copy, mut group) = self.copy(cluster, &from)?;
            let provider = self.provider(copy.storage());
            self.take_updates(&mut group, &provider, updates)?;
            let processed = process(&mut group, &provider, message)?;
            let Sender::Member(committer) = *processed.sender() else { return Err(GroupError::NoMember) };
            let staged = match processed.into_content() {
                ProcessedMessageContent::StagedCommitMessage(staged) => *staged,
                ProcessedMessageContent::OwnPrivateMessage | ProcessedMessageContent::OwnPendingCommit => {
                    return Err(GroupError::Own);
                }
                _ => return Err(GroupError::Malformed),
            };
            let changed = self.changed(&group, &staged, committer)?;
            if staged.self_removed() {
                return Ok(Processed { changed, snapshot: None });
            }
            group.merge_staged_commit(&provider, staged).map_err(GroupError::library)?;
            copy.storage().remove(Label::Committed, &())?;
            Ok(Processed { changed, snapshot: Some(self.keep(cluster, group, &copy)?) })
        })
    }

    /// Who sent a Commit or a proposal in a state. Nothing of it is followed.
    pub fn handshake_of(&self, cluster: &ClusterId, state: &StateId, bytes: &[u8]) -> Result<MemberId, GroupError> {
        let message = parse(bytes, MAX_HANDSHAKE)?;
        let from = namespace(cluster, state, View::Handshake);
        let (copy, mut group) = self.copy(cluster, &from)?;
        let processed = process(&mut group, &self.provider(copy.storage()), message)?;
        sender(&group, processed.sender()).ok_or(GroupError::NoMember)
    }

    /// A copy of a handshake view, on which a Commit can be tried. What is in memory of the view is used up by that.
    fn copy(&self, cluster: &ClusterId, from: &[u8]) -> Result<(Copied, MlsGroup), GroupError> {
        if let Some(held) = self.hands.and_then(|hands| hands.take(&from.to_vec())) {
            return Ok((Copied::load_beside(self.conn, from)?, held.group));
        }
        let copy = Copied::load(self.conn, from)?;
        let group = load(&copy.storage(), cluster)?;
        Ok((copy, group))
    }

    fn drop_held(&self, namespace: &[u8]) {
        if let Some(hands) = self.hands {
            hands.forget(&namespace.to_vec());
        }
    }

    /// Works on the application view of a state, in memory if it is there. Of what fails nothing is written.
    pub(super) fn in_state<T>(
        &self,
        cluster: &ClusterId,
        state: &StateId,
        work: impl FnOnce(&mut MlsGroup, &Provider<'_, 'a>) -> Result<T, GroupError>,
    ) -> Result<T, GroupError> {
        let namespace = namespace(cluster, state, View::Application);
        let unsaved = Cell::new(false);
        let base = self::namespace(cluster, state, View::Handshake);
        let later = Storage::Later { conn: self.conn, namespace: &namespace, base: &base, unsaved: &unsaved };
        let mut held = match self.hands.and_then(|hands| hands.take(&namespace)) {
            Some(held) => held,
            None => Held { group: load(&later, cluster)?, unsaved: false },
        };
        let done = work(&mut held.group, &self.provider(later));
        // The library changes nothing when it refuses a message. Should it, memory is ahead of the vault, never behind.
        held.unsaved |= unsaved.get();
        self.hold(&namespace, held)?;
        done
    }

    /// Leaves a group in memory. Where there is no room, or no unit of work, it is written at once.
    fn hold(&self, namespace: &[u8], held: Held) -> Result<(), GroupError> {
        let left = match self.hands {
            Some(hands) => hands.put(namespace.to_vec(), held).err(),
            None => Some(held),
        };
        left.map_or(Ok(()), |mut held| Ok(held.save(&self.provider(Storage::new(self.conn, namespace)))?))
    }

    /// Forgets a state with all its keys.
    pub fn forget(&self, cluster: &ClusterId, state: &StateId) -> Result<(), GroupError> {
        [View::Application, View::Handshake].into_iter().try_for_each(|view| {
            let namespace = namespace(cluster, state, view);
            self.drop_held(&namespace);
            tree::release(self.conn, &namespace)?;
            Ok(delete_namespace(self.conn, &namespace)?)
        })
    }

    /// Puts proposals of others where a Commit finds them. What is none is passed over: whoever builds on it will be told.
    fn take_updates(&self, group: &mut MlsGroup, provider: &Provider<'_, 'a>, updates: &[Vec<u8>]) -> Result<(), GroupError> {
        for bytes in updates {
            let Ok(message) = parse(bytes, MAX_HANDSHAKE) else { continue };
            let processed = match process(group, provider, message) {
                Ok(processed) => processed,
                Err(GroupError::State(error)) => return Err(error.into()),
                Err(_) => continue,
            };
            let Sender::Member(member) = *processed.sender() else { continue };
            let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else { continue };
            let Proposal::Update(update) = queued.proposal() else { continue };
            let leaf = update.leaf_node();
            if is_same(group, member, leaf.signature_key().as_slice(), leaf.credential().serialized_content()) {
                group.store_pending_proposal(&provider.storage, *queued).map_err(GroupError::library)?;
            }
        }
        Ok(())
    }

    /// What a Commit does, if it does nothing that nobody may.
    fn changed(&self, group: &MlsGroup, commit: &StagedCommit, by: LeafNodeIndex) -> Result<Changed, GroupError> {
        let committer = member_at(group, by).ok_or(GroupError::NoMember)?;
        let leaf = commit.update_path_leaf_node().ok_or(GroupError::Forbidden("a change without new keys"))?;
        if !is_same(group, by, leaf.signature_key().as_slice(), leaf.credential().serialized_content()) {
            return Err(GroupError::Forbidden("a member who becomes another"));
        }
        let mut changed = Changed { committer, added: Vec::new(), removed: Vec::new(), context: None };
        for queued in commit.queued_proposals() {
            let by_value = matches!(queued.proposal_or_ref_type(), ProposalOrRefType::Proposal);
            match queued.proposal() {
                Proposal::Add(add) if by_value => {
                    let package = add.key_package();
                    let leaf = package.leaf_node();
                    let key_package = keys::hash(package, self.libcrux).ok_or(GroupError::Malformed)?.0;
                    let nick = member::nick(leaf.credential().serialized_content()).ok_or(GroupError::Malformed)?;
                    let key = leaf.signature_key().as_slice().try_into().map_err(|_| GroupError::Malformed)?;
                    changed.added.push(Made { member: MemberId(key), key_package, nick });
                }
                Proposal::Remove(remove) if by_value => {
                    changed.removed.push(member_at(group, remove.removed()).ok_or(GroupError::NoMember)?);
                }
                Proposal::GroupContextExtensions(proposed) if by_value => {
                    changed.context = Some(context_of(proposed.extensions())?);
                }
                Proposal::Update(update) if !by_value => {
                    let Sender::Member(member) = *queued.sender() else { return Err(GroupError::NoMember) };
                    let leaf = update.leaf_node();
                    if !is_same(group, member, leaf.signature_key().as_slice(), leaf.credential().serialized_content()) {
                        return Err(GroupError::Forbidden("a member who becomes another"));
                    }
                }
                _ => return Err(GroupError::Forbidden("a proposal that clusters do not know")),
            }
        }
        Ok(changed)
    }

    /// Writes a new state, in both views: all of it in one, and in the other the secrets of messages, in which they will differ. One
    /// that is there stays as it is: with its first keys it would use them twice.
    fn keep(&self, cluster: &ClusterId, group: MlsGroup, copy: &Copied) -> Result<Snapshot, GroupError> {
        let snapshot = self.snapshot(&group)?;
        let application = namespace(cluster, &snapshot.state, View::Application);
        let handshake = namespace(cluster, &snapshot.state, View::Handshake);
        if has_namespace(self.conn, &application)? {
            return Ok(snapshot);
        }
        copy.storage().remove(Label::Committed, &())?;
        copy.take_secrets();
        let mut held = Held { group, unsaved: true };
        held.save(&self.provider(copy.storage()))?;
        if !copy.is_whole() {
            return Err(GroupError::library("a state without all its keys"));
        }
        copy.keep(self.conn, &handshake, |_| true)?;
        copy.keep(self.conn, &application, |label| label == Label::MessageSecrets as i64)?;
        // As fresh as the copy, for whoever ends this state.
        self.hold(&handshake, held)?;
        Ok(snapshot)
    }

    fn snapshot(&self, group: &MlsGroup) -> Result<Snapshot, GroupError> {
        let mut members = Vec::new();
        for member in group.members() {
            let key = member.signature_key.as_slice().try_into().map_err(|_| GroupError::Malformed)?;
            let nick = member::nick(member.credential.serialized_content()).ok_or(GroupError::Malformed)?;
            members.push(Leaf { member: MemberId(key), leaf: member.index.u32(), nick });
        }
        let tag = group.confirmation_tag().tls_serialize_detached().map_err(GroupError::library)?;
        let mut exported = group.export_secret(self.libcrux, OUTER_LABEL, &[], 32).map_err(GroupError::library)?;
        let secret = exported.as_slice().try_into().map_err(|_| GroupError::library("wrong length of a secret"))?;
        exported.zeroize();
        Ok(Snapshot {
            state: StateId::of(&tag),
            epoch: group.epoch().as_u64(),
            members,
            context: context_of(group.extensions())?,
            own_leaf: group.own_leaf_index().u32(),
            secret,
        })
    }

    pub(super) fn signer_of(&self, member: &MemberId) -> Result<LeafSigner, GroupError> {
        LeafSigner::load(&Storage::new(self.conn, &member::namespace(member)), &[])?.ok_or(GroupError::NoMember)
    }

    fn provider<'s>(&'s self, storage: Storage<'s>) -> Provider<'s, 'a> {
        Provider { crypto: Crypto { libcrux: self.libcrux, rand: &self.rand }, storage }
    }

    fn atomically<T>(&self, work: impl FnOnce() -> Result<T, GroupError>) -> Result<T, GroupError> {
        atomically(self.conn, work)
    }
}

#[derive(Clone, Copy)]
enum View {
    Application,
    Handshake,
}

fn namespace(cluster: &ClusterId, state: &StateId, view: View) -> Vec<u8> {
    [b"group".as_slice(), &cluster.0, &state.0, &[view as u8]].concat()
}

fn group_id(cluster: &ClusterId) -> GroupId {
    GroupId::from_slice(&cluster.0)
}

fn load(storage: &Storage<'_>, cluster: &ClusterId) -> Result<MlsGroup, GroupError> {
    MlsGroup::load(storage, &group_id(cluster))?.ok_or(GroupError::State(StateError::UnknownPair))
}

fn extensions(context: &[u8]) -> Result<Extensions<GroupContext>, GroupError> {
    if context.len() > MAX_CONTEXT {
        return Err(GroupError::Malformed);
    }
    let charter = Extension::Unknown(CONTEXT, UnknownExtension(context.to_vec()));
    Extensions::from_vec(vec![required(), charter]).map_err(GroupError::library)
}

/// Without it the library lets nobody change the charter.
fn required() -> Extension {
    Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(&[ExtensionType::Unknown(CONTEXT)], &[], &[]))
}

/// The charter. A cluster has nothing else there.
fn context_of(extensions: &Extensions<GroupContext>) -> Result<Vec<u8>, GroupError> {
    let mut all = extensions.iter();
    match (all.next(), all.next(), all.next()) {
        (Some(first), Some(Extension::Unknown(CONTEXT, UnknownExtension(bytes))), None)
            if *first == required() && bytes.len() <= MAX_CONTEXT =>
        {
            Ok(bytes.clone())
        }
        _ => Err(GroupError::Forbidden("a context that is no charter")),
    }
}

pub(super) fn member_at(group: &MlsGroup, leaf: LeafNodeIndex) -> Option<MemberId> {
    Some(MemberId(group.public_group().leaf(leaf)?.signature_key().as_slice().try_into().ok()?))
}

pub(super) fn leaf_of(group: &MlsGroup, member: &MemberId) -> Result<LeafNodeIndex, GroupError> {
    let found = group.members().find(|found| found.signature_key.as_slice() == member.0);
    Ok(found.ok_or(GroupError::NoMember)?.index)
}

fn sender(group: &MlsGroup, sender: &Sender) -> Option<MemberId> {
    match sender {
        Sender::Member(leaf) => member_at(group, *leaf),
        _ => None,
    }
}

/// Whether a new leaf is of whom it replaces: the same key, the same nickname.
fn is_same(group: &MlsGroup, leaf: LeafNodeIndex, key: &[u8], credential: &[u8]) -> bool {
    let old = group.public_group().leaf(leaf);
    old.is_some_and(|old| old.signature_key().as_slice() == key && old.credential().serialized_content() == credential)
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(ratchet())
        .max_past_epochs(0)
        .build()
}

fn parse(bytes: &[u8], longest: usize) -> Result<PrivateMessageIn, GroupError> {
    if bytes.len() > longest {
        return Err(GroupError::Malformed);
    }
    let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| GroupError::Malformed)?;
    match message.extract() {
        MlsMessageBodyIn::PrivateMessage(message) => Ok(message),
        _ => Err(GroupError::Malformed),
    }
}

fn parse_welcome(bytes: &[u8]) -> Option<Welcome> {
    if bytes.len() > MAX_CLUSTER_WELCOME {
        return None;
    }
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?.extract() {
        MlsMessageBodyIn::Welcome(welcome) => Some(welcome),
        _ => None,
    }
}

fn process(group: &mut MlsGroup, provider: &Provider<'_, '_>, message: PrivateMessageIn) -> Result<ProcessedMessage, GroupError> {
    if message.group_id() != group.group_id() || message.epoch() != group.epoch() {
        return Err(GroupError::Elsewhere);
    }
    group.process_message(provider, message).map_err(|error| match error {
        ProcessMessageError::StorageError(error) => GroupError::State(error.into()),
        ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(
            MessageDecryptionError::SecretTreeError(_) | MessageDecryptionError::GenerationOutOfBound,
        )) => GroupError::Spent,
        ProcessMessageError::InvalidCommit(StageCommitError::MissingProposal) => GroupError::MissingProposal,
        error => GroupError::Invalid(error.into()),
    })
}

fn welcome_error(error: WelcomeError<StorageError>) -> GroupError {
    match error {
        WelcomeError::NoMatchingKeyPackage | WelcomeError::JoinerSecretNotFound => GroupError::NoKeyPackage,
        WelcomeError::StorageError(error) => GroupError::State(error.into()),
        error => GroupError::Invalid(error.into()),
    }
}
