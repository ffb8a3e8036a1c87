//! A member who is nothing but the MLS library with its own storage in memory: what everything else is measured against.

use std::collections::HashMap;

use openmls::{
    extensions::ExtensionType,
    key_packages::{KeyPackage, Lifetime},
    prelude::{
        BasicCredential, Capabilities, Ciphersuite, CredentialType, CredentialWithKey, GroupId, MlsGroup, MlsGroupJoinConfig,
        MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, PrivateMessageIn,
        ProcessedMessageContent, ProtocolVersion, SenderRatchetConfiguration, SignatureScheme, StagedWelcome,
        tls_codec::DeserializeBytes,
    },
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::{
    OpenMlsProvider,
    signatures::{Signer, SignerError},
};
use samizdat_core::IdentitySecret;

const SUITE: Ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;

pub struct Bare {
    provider: Provider,
    id: GroupId,
    joined: HashMap<Vec<u8>, Vec<u8>>,
}

struct Leaf(IdentitySecret);

impl Signer for Leaf {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl Bare {
    /// Somebody with this nickname, and the KeyPackage to add them.
    pub fn new(cluster: &[u8; 32], nick: &str) -> (Self, Vec<u8>) {
        let (provider, leaf) = (Provider::new().unwrap(), Leaf(IdentitySecret::from_seed([77; 32])));
        let mut e = minicbor::Encoder::new(Vec::new());
        e.array(2).unwrap().u8(2).unwrap().str(nick).unwrap();
        let credential = CredentialWithKey {
            credential: BasicCredential::new(e.into_writer()).into(),
            signature_key: leaf.0.key().0.as_slice().into(),
        };
        let bundle = KeyPackage::builder()
            .key_package_lifetime(Lifetime::init(0, u64::MAX))
            .leaf_node_capabilities(Capabilities::new(
                Some(&[ProtocolVersion::Mls10]),
                Some(&[SUITE]),
                Some(&[ExtensionType::LastResort, ExtensionType::Unknown(0xFA01)]),
                Some(&[]),
                Some(&[CredentialType::Basic]),
            ))
            .mark_as_last_resort()
            .build(SUITE, &provider, &leaf, credential)
            .unwrap();
        let bytes = MlsMessageOut::from(bundle.key_package().clone()).to_bytes().unwrap();
        (Self { provider, id: GroupId::from_slice(cluster), joined: HashMap::new() }, bytes)
    }

    pub fn join(&mut self, welcome: &[u8]) {
        let MlsMessageBodyIn::Welcome(welcome) = MlsMessageIn::tls_deserialize_exact_bytes(welcome).unwrap().extract() else {
            panic!("no Welcome");
        };
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(512, 4096))
            .max_past_epochs(0)
            .build();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, None).unwrap();
        staged.into_group(&self.provider).unwrap();
        self.joined.clone_from(&self.provider.storage().values.read().unwrap());
    }

    /// The group as it was joined.
    pub fn reopen(&self) -> MlsGroup {
        self.provider.storage().values.write().unwrap().clone_from(&self.joined);
        MlsGroup::load(self.provider.storage(), &self.id).unwrap().unwrap()
    }

    /// What every member must do at least: take the proposals, then the Commit, and go on from there.
    pub fn follow(&self, group: &mut MlsGroup, updates: &[Vec<u8>], commit: &[u8]) {
        for update in updates {
            let ProcessedMessageContent::ProposalMessage(proposal) = self.process(group, update) else { panic!("no proposal") };
            group.store_pending_proposal(self.provider.storage(), *proposal).unwrap();
        }
        let ProcessedMessageContent::StagedCommitMessage(staged) = self.process(group, commit) else { panic!("no Commit") };
        group.merge_staged_commit(&self.provider, *staged).unwrap();
    }

    fn process(&self, group: &mut MlsGroup, bytes: &[u8]) -> ProcessedMessageContent {
        group.process_message(&self.provider, parse(bytes)).unwrap().into_content()
    }
}

fn parse(bytes: &[u8]) -> PrivateMessageIn {
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract() {
        MlsMessageBodyIn::PrivateMessage(message) => message,
        _ => panic!("no PrivateMessage"),
    }
}
