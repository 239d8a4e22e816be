//! Who somebody is and which services they work with. deploy/dev/profile.toml is the sample.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use service::{
    config::{self, ConfigDirectory, FilePath, IdentitySection},
    identity::{Manufacturer, Role, TrustDomain},
};

use crate::failure::Failure;

/// The environment's name for the file.
pub(crate) const VARIABLE: &str = "COUNTERSIGN_PROFILE";

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileFile {
    /// Service certificate and key.
    pub(crate) identity: IdentitySection,
    /// For those who approve orders.
    pub(crate) approval: Option<ApprovalSection>,
    /// The services, in the order of preference.
    pub(crate) services: Vec<ServiceSection>,
}

/// `[approval]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalSection {
    /// The approval key.
    pub(crate) key: FilePath,
}

/// `[[services]]`: one service, and how it proves who it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceSection {
    /// What it is.
    pub(crate) role: Role,
    /// Whose it is.
    pub(crate) manufacturer: Manufacturer,
    /// `host:port` of its gRPC.
    pub(crate) address: String,
    /// The trust domain that its id carries.
    pub(crate) trust_domain: TrustDomain,
    /// PEM: the CA certificates that vouch for that trust domain.
    pub(crate) bundle: FilePath,
}

/// A profile, and where its paths start.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) file: PathBuf,
    pub(crate) content: ProfileFile,
    pub(crate) directory: ConfigDirectory,
}

impl Profile {
    /// Reads the profile that was named, or the environment's.
    ///
    /// # Errors
    /// `USAGE` when there is none; `FILE_MISSING`, `CONFIG_INVALID`.
    pub(crate) fn open(named: Option<&PathBuf>) -> Result<Self, Failure> {
        let file = match named {
            Some(file) => file.clone(),
            None => std::env::var_os(VARIABLE).map(PathBuf::from).ok_or_else(|| {
                Failure::usage(format!("no profile: name one with --as FILE or in the environment's {VARIABLE}"))
            })?,
        };
        Self::read(&file)
    }

    fn read(file: &Path) -> Result<Self, Failure> {
        let (content, _) = config::read_document::<ProfileFile>(file).map_err(|e| Failure::config(&e))?;
        Ok(Self { file: file.to_owned(), content, directory: ConfigDirectory::of(file) })
    }

    /// The service of the profile that serves one of these roles; the one at `at`, if that is said.
    pub(crate) fn service(&self, roles: &[Role], at: Option<&str>) -> Result<&ServiceSection, Failure> {
        let at = at
            .map(|text| text.parse::<Role>().map_err(|_| Failure::usage(format!("--at {text}: not a role"))))
            .transpose()?;
        let fits =
            |service: &&ServiceSection| roles.contains(&service.role) && at.is_none_or(|role| role == service.role);
        self.content.services.iter().find(fits).ok_or_else(|| {
            let wanted = roles.iter().filter(|role| at.is_none_or(|at| at == **role));
            let wanted: Vec<&str> = wanted.map(|role| role.as_str()).collect();
            let wanted = if wanted.is_empty() {
                "service at that role that serves this".to_owned()
            } else {
                wanted.join(" or ")
            };
            let file = self.file.display();
            Failure::usage(format!(
                "this asks a {wanted}, and {file} names none: take the profile of somebody who works with one"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev/profile.toml");
        std::fs::read_to_string(path).unwrap()
    }

    fn read(text: &str) -> Result<Profile, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("profile.toml");
        std::fs::write(&file, text).unwrap();
        Profile::open(Some(&file))
    }

    #[test]
    fn the_sample_is_a_profile_and_has_every_option() {
        let profile = read(&sample()).unwrap();
        assert!(profile.content.approval.is_some());
        assert_eq!(profile.content.services.len(), 1);
        for option in ["certificate", "role", "manufacturer", "address", "trust_domain", "bundle"] {
            let without: String =
                sample().lines().filter(|line| !line.starts_with(option)).map(|l| format!("{l}\n")).collect();
            assert!(read(&without).is_err(), "{option} is not in the sample");
        }
    }

    #[test]
    fn an_unknown_option_is_refused_in_every_table() {
        for table in ["[identity]", "[approval]", "[[services]]"] {
            let failure = read(&sample().replace(table, &format!("{table}\nunheard_of = 1"))).unwrap_err();
            assert!(failure.to_string().contains("unheard_of"), "{failure}");
        }
    }

    #[test]
    fn a_verb_takes_the_first_service_that_serves_it_or_the_one_at_a_role() {
        let more = "\n[[services]]\nrole = \"intermediate-ca\"\nmanufacturer = \"factory-y\"\naddress = \"h:1\"\n\
                    trust_domain = \"factory-y.example\"\nbundle = \"x.pem\"\n";
        let profile = read(&format!("{}{more}", sample())).unwrap();
        let both = [Role::IntermediateCa, Role::RootCa];
        assert_eq!(profile.service(&both, None).unwrap().role, Role::RootCa);
        assert_eq!(profile.service(&both, Some("intermediate-ca")).unwrap().role, Role::IntermediateCa);
        for (roles, at) in [(&both[..], Some("hub")), (&both[..], Some("nonsense")), (&[Role::Provisioner][..], None)] {
            assert!(profile.service(roles, at).unwrap_err().to_string().starts_with("error[USAGE]"));
        }
    }
}
