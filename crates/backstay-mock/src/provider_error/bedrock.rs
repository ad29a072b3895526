//! Bedrock's exceptions, named in a header
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors>).

use super::{ProviderError, row};

const KIND: &str = "x-amzn-errortype";

pub(super) const ROWS: &[ProviderError] = &[
    row(
        "bedrock",
        "throttling",
        429,
        &[(KIND, "ThrottlingException")],
        r#"{"message":"Too many requests, please wait before trying again."}"#,
    ),
    row(
        "bedrock",
        "throttling_with_namespace",
        429,
        &[(
            KIND,
            "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        )],
        r#"{"message":"Too many tokens, please wait before trying again."}"#,
    ),
    row(
        "bedrock",
        "throttling_in_body",
        429,
        &[],
        r#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Too many requests."}"#,
    ),
    row(
        "bedrock",
        "model_not_ready",
        429,
        &[(KIND, "ModelNotReadyException")],
        r#"{"message":"The model is not ready to serve."}"#,
    ),
    row(
        "bedrock",
        "quota",
        400,
        &[(KIND, "ServiceQuotaExceededException")],
        r#"{"message":"The service quota of the account is used up."}"#,
    ),
    row(
        "bedrock",
        "context_too_long",
        400,
        &[(KIND, "ValidationException")],
        r#"{"message":"Input is too long for requested model."}"#,
    ),
    row(
        "bedrock",
        "validation",
        400,
        &[(KIND, "ValidationException")],
        r#"{"message":"The provided model identifier is invalid."}"#,
    ),
    row(
        "bedrock",
        "access_denied",
        403,
        &[(KIND, "AccessDeniedException")],
        r#"{"message":"You don't have access to the model with the specified model ID."}"#,
    ),
    row(
        "bedrock",
        "expired_token",
        403,
        &[(KIND, "ExpiredTokenException")],
        r#"{"message":"The security token included in the request is expired"}"#,
    ),
    row(
        "bedrock",
        "not_found",
        404,
        &[(KIND, "ResourceNotFoundException")],
        r#"{"message":"The model is at the end of its life."}"#,
    ),
    row(
        "bedrock",
        "model_timeout",
        408,
        &[(KIND, "ModelTimeoutException")],
        r#"{"message":"The model took too long."}"#,
    ),
    row(
        "bedrock",
        "model_error",
        424,
        &[(KIND, "ModelErrorException")],
        r#"{"message":"The model failed.","originalStatusCode":500,"resourceName":"mock"}"#,
    ),
    row(
        "bedrock",
        "internal",
        500,
        &[(KIND, "InternalServerException")],
        r#"{"message":"Something failed here."}"#,
    ),
    row(
        "bedrock",
        "service_unavailable",
        503,
        &[(KIND, "ServiceUnavailableException")],
        r#"{"message":"The service cannot take the request now."}"#,
    ),
];
