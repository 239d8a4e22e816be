//! The list of every RPC, read from the descriptors: what authorisation tables are compared with.

use prost::Message as _;

/// The full path of every RPC of the given package, e.g. `/countersign.lot.v1.LotService/GetLot`, sorted.
/// All packages' RPCs for an empty `package`.
#[must_use]
pub fn rpc_names(package: &str) -> Vec<String> {
    let Ok(set) = prost_types::FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET) else {
        return Vec::new();
    };
    let mut names: Vec<String> = set
        .file
        .iter()
        .filter(|file| file.package().starts_with("countersign."))
        .filter(|file| package.is_empty() || file.package() == package)
        .flat_map(|file| {
            file.service.iter().flat_map(move |service| {
                service
                    .method
                    .iter()
                    .map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
            })
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpcs_are_listed_by_package() {
        assert!(rpc_names("").len() > 20);
        assert!(rpc_names("countersign.lot.v1").contains(&"/countersign.lot.v1.LotService/GetLot".to_owned()));
        assert!(rpc_names("countersign.nothing.v1").is_empty());
    }
}
