//! A ceremony from its file to its evidence.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use issuance::{Entropy, KeyPolicy, SoftwareKey, Stage, SystemEntropy, csr::SubjectKey};
use pki::{Certificate, Sha256, UnixTime, pem};
use service::config::{self, ConfigDirectory, FilePath};

use crate::{
    evidence::{CertificateEvidence, Evidence, FileEvidence, IssuerEvidence},
    folder::{self, Readers},
    input::{Input, KeyOrigin, Kind, key_kind},
    keys::Ask,
    make::Maker,
    materials::{self, Certified, IssuingRoot, Materials},
    refusal::CeremonyRefusal,
};

const INPUT: &str = "input.toml";
const RECORD: &str = "tbs.der";
const EVIDENCE: &str = "evidence.json";

/// One reviewed file.
#[derive(Debug)]
pub struct Ceremony {
    file: PathBuf,
    text: String,
    input: Input,
    directory: ConfigDirectory,
}

/// What a ceremony would make, after every check that can be made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// SHA-256 of the reviewed file.
    pub input: Sha256,
    /// `root` or `order-ca`.
    pub kind: &'static str,
    /// Whether what is made is for real devices.
    pub stage: Stage,
    /// Digest of the checked profile.
    pub profile: Sha256,
    /// Files that would be made, and none of which is there.
    pub outputs: Vec<PathBuf>,
}

/// Whether a ceremony was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Not,
    Before,
}

impl Ceremony {
    /// Reads the file. Touches nothing else.
    ///
    /// # Errors
    /// `FILE_MISSING`, `FILE_UNREADABLE`, `CONFIG_INVALID`.
    pub fn read(file: &Path) -> Result<Self, CeremonyRefusal> {
        let (input, text) = config::read_document::<Input>(file)?;
        input.check()?;
        Ok(Self { file: file.to_owned(), text, input, directory: ConfigDirectory::of(file) })
    }

    /// The reviewed file's content.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The folder of the evidence.
    #[must_use]
    pub fn evidence_folder(&self) -> PathBuf {
        self.path(&self.input.output.evidence)
    }

    /// Makes every check that needs no new key, and writes nothing. The issuer's key is opened, so that a wrong passphrase is
    /// found before.
    ///
    /// # Errors
    /// Every [`CeremonyRefusal`] but those of what is made.
    pub fn check(&self, now: UnixTime, ask: &mut Ask<'_>) -> Result<Outline, CeremonyRefusal> {
        self.refuse_what_is_there()?;
        let root = Materials { input: &self.input, directory: &self.directory }.issuing_root(ask)?;
        self.outline(now, root.as_ref())
    }

    /// Holds the ceremony, or goes on with one that was interrupted.
    ///
    /// # Errors
    /// Every [`CeremonyRefusal`]. What was made stays, and is used when the ceremony is held again.
    pub fn hold(&self, now: UnixTime, ask: &mut Ask<'_>) -> Result<Evidence, CeremonyRefusal> {
        let begun = self.refuse_what_is_there()?;
        let materials = Materials { input: &self.input, directory: &self.directory };
        let root = materials.issuing_root(ask)?;
        let outline = self.outline(now, root.as_ref())?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let evidence_folder = self.evidence_folder();
        match begun {
            Begun::Before => {}
            Begun::Not => {
                folder::make(&evidence_folder)?;
                folder::write_new(&evidence_folder.join(INPUT), self.text.as_bytes(), Readers::Everybody)?;
            }
        }
        let Certified { key, own, evidence: key_evidence } = materials.certified_key(entropy.as_ref(), ask)?;
        let maker = materials.maker(key, own, root.as_ref(), now)?;
        let record = evidence_folder.join(RECORD);
        let certificate = self.certificate(&maker, &record, entropy)?;
        let evidence = Evidence {
            version: 1,
            tool: format!("countersign {}", env!("CARGO_PKG_VERSION")),
            title: self.input.title.clone(),
            witnesses: self.input.witnesses.clone(),
            held_at: now.to_string(),
            input: FileEvidence { file: self.file.display().to_string(), sha256: outline.input.to_string() },
            kind: outline.kind,
            key: key_evidence,
            certificate: CertificateEvidence::of(
                &certificate,
                &self.path(&self.input.output.certificate),
                outline.profile,
                outline.stage,
            ),
            issuer: root.as_ref().map(|root| IssuerEvidence::of(&root.certificate)),
        };
        let json = serde_json::to_string_pretty(&evidence).map_err(|e| CeremonyRefusal::malformed(&record, e))?;
        folder::write_new(&evidence_folder.join(EVIDENCE), format!("{json}\n").as_bytes(), Readers::Everybody)?;
        Ok(evidence)
    }

    fn path(&self, file: &FilePath) -> PathBuf {
        self.directory.path(file)
    }

    /// What is made apart from the evidence.
    fn outputs(&self) -> Result<Vec<PathBuf>, CeremonyRefusal> {
        let mut outputs = vec![self.path(&self.input.output.certificate)];
        match self.input.key_origin()? {
            KeyOrigin::Made { file, .. } => outputs.push(self.path(file)),
            KeyOrigin::Csr(_) => {}
        }
        Ok(outputs)
    }

    /// Refuses to touch what others left; says whether this very ceremony was begun and not finished.
    fn refuse_what_is_there(&self) -> Result<Begun, CeremonyRefusal> {
        let folder = self.evidence_folder();
        match folder::read_if_there(&folder.join(INPUT))? {
            Some(copy) if copy != self.text.as_bytes() => Err(CeremonyRefusal::Differs(folder)),
            Some(_) if folder::is_there(&folder.join(EVIDENCE)) => Err(CeremonyRefusal::Held(folder)),
            Some(_) => Ok(Begun::Before),
            None => {
                // A folder that a crash left before the copy was in it holds nothing but the copy's beginning.
                let is_foreign = |entry: fs::DirEntry| !entry.file_name().to_string_lossy().starts_with(".input.toml");
                if folder::is_there(&folder)
                    && !fs::read_dir(&folder).is_ok_and(|found| !found.filter_map(Result::ok).any(is_foreign))
                {
                    return Err(CeremonyRefusal::OutputExists(folder));
                }
                match self.outputs()?.into_iter().find(|output| folder::is_there(output)) {
                    Some(output) => Err(CeremonyRefusal::OutputExists(output)),
                    None => Ok(Begun::Not),
                }
            }
        }
    }

    /// Proves profile, issuer and key policy, with a throw-away key in the place of one that is not made yet.
    fn outline(&self, now: UnixTime, root: Option<&IssuingRoot>) -> Result<Outline, CeremonyRefusal> {
        let materials = Materials { input: &self.input, directory: &self.directory };
        let algorithm = self.input.key.algorithm;
        let sample = SoftwareKey::generate(key_kind(algorithm))
            .map_err(|cause| CeremonyRefusal::key(Path::new("(a throw-away key)"), cause))?;
        let key = match self.input.key_origin()? {
            KeyOrigin::Made { .. } => SubjectKey::held(&sample, &KeyPolicy::ca(algorithm))?,
            KeyOrigin::Csr(file) => materials.requested_key(file)?.0,
        };
        let maker = materials.maker(key, Some(Arc::new(sample)), root, now)?;
        let _unsigned = maker.draft(Arc::new(SystemEntropy))?;
        let (kind, stage) = self.what(root)?;
        let input = Sha256::of(self.text.as_bytes());
        Ok(Outline { input, kind, stage, profile: maker.profile_hash(), outputs: self.outputs()? })
    }

    fn what(&self, root: Option<&IssuingRoot>) -> Result<(&'static str, Stage), CeremonyRefusal> {
        Ok(match self.input.kind()? {
            Kind::Root(document) => ("root", document.stage),
            Kind::OrderCa { .. } => ("order-ca", root.map_or(Stage::Production, IssuingRoot::stage)),
        })
    }

    /// The certificate on disk: signed now, or before the interruption. One TBS is signed once.
    fn certificate(
        &self,
        maker: &Maker,
        record: &Path,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Certificate, CeremonyRefusal> {
        let path = self.path(&self.input.output.certificate);
        if folder::is_there(&path) {
            let made = materials::read_certificate(&path)?;
            return match folder::read_if_there(record)? {
                Some(tbs) if tbs == made.tbs() => Ok(made),
                Some(_) | None => Err(CeremonyRefusal::OutputExists(path)),
            };
        }
        let certificate = maker.make(record, entropy)?;
        folder::write_new(&path, pem::encode(pem::CERTIFICATE, certificate.der()).as_bytes(), Readers::Everybody)?;
        Ok(certificate)
    }
}
