//! gRPC reflection: which services there are, for `grpcurl` and its kin. The table decides who may ask.

use tonic::service::RoutesBuilder;

use crate::shell::StartError;

/// The RPC of reflection v1, for a service's table.
pub const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// The RPC of reflection v1alpha, which older tools ask.
pub const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Adds reflection over an encoded `FileDescriptorSet` to a service's routes.
///
/// # Errors
/// When the descriptors do not read.
pub fn add(routes: &mut RoutesBuilder, descriptors: &'static [u8]) -> Result<(), StartError> {
    let builder = || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(descriptors);
    let failed = |e: tonic_reflection::server::Error| StartError::refused("SETUP_FAILED", e);
    routes.add_service(builder().build_v1().map_err(failed)?);
    routes.add_service(builder().build_v1alpha().map_err(failed)?);
    Ok(())
}
