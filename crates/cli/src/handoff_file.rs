//! Handoffs as files, for sites without a wire between them: one `HandoffFile` in PEM.

use std::path::Path;

use api::handoff::v1::{HandoffFile, handoff_file::Content};
use pki::pem;
use prost::Message as _;

use crate::{
    failure::{Failure, read_file},
    files,
};

/// The label of the armour.
pub(crate) const LABEL: &str = "COUNTERSIGN HANDOFF";
/// Longest message in a file, in octets: as long as the services take.
const MAX_LENGTH: usize = 1024 * 1024;

/// Which message a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Offer,
    Acceptance,
    Answer,
    TallyReport,
    Reinstatement,
}

impl MessageKind {
    pub(crate) fn of(content: &Content) -> Self {
        match content {
            Content::Offer(_) => Self::Offer,
            Content::Acceptance(_) => Self::Acceptance,
            Content::Answer(_) => Self::Answer,
            Content::TallyReport(_) => Self::TallyReport,
            Content::Reinstatement(_) => Self::Reinstatement,
        }
    }

    /// In words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Acceptance => "acceptance",
            Self::Answer => "answer",
            Self::TallyReport => "tally report",
            Self::Reinstatement => "reinstatement",
        }
    }

    /// Who takes it, and with which command.
    pub(crate) fn taken_by(self) -> &'static str {
        match self {
            Self::Offer => "the receiver: countersign lot import",
            Self::Acceptance | Self::TallyReport => "the sender: countersign handoff import",
            Self::Answer => "the receiver: countersign lot open",
            Self::Reinstatement => "the receiver: countersign lot reinstate",
        }
    }
}

/// Reads a handoff file.
pub(crate) fn read(path: &Path) -> Result<Content, Failure> {
    let text = String::from_utf8(read_file(path)?).map_err(|_| Failure::malformed(path, "is no handoff file"))?;
    let block = pem::single(&text, LABEL).map_err(|e| Failure::malformed(path, e))?;
    parse(block.der()).map_err(|what| Failure::malformed(path, what))
}

/// The message in the armour.
pub(crate) fn parse(octets: &[u8]) -> Result<Content, &'static str> {
    if octets.len() > MAX_LENGTH {
        return Err("a handoff message of more than 1 MiB");
    }
    let file = HandoffFile::decode(octets).map_err(|_| "no handoff message")?;
    file.content.ok_or("a handoff file without a message")
}

/// A file with another message than is wanted.
pub(crate) fn unfit(path: &Path, found: &Content, wanted: &str) -> Failure {
    let kind = MessageKind::of(found);
    Failure::named(
        "HANDOFF_FILE_UNFIT",
        format!(
            "{} holds a handoff's {}, and {wanted} is wanted; it is for {}",
            path.display(),
            kind.as_str(),
            kind.taken_by()
        ),
    )
}

/// Writes a handoff file where nothing was.
pub(crate) fn write(path: &Path, content: Content) -> Result<(), Failure> {
    let octets = HandoffFile { content: Some(content) }.encode_to_vec();
    files::write_new(path, pem::encode(LABEL, &octets).as_bytes())
}
