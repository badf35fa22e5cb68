//! The names of resources of AWS.

/// A user pool of Cognito.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Its id, such as `eu-west-1_AbCdEfGhI`.
    pub(super) id: String,
    /// The `iss` of its tokens.
    pub(super) issuer: String,
}

/// A Lambda function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) account: String,
    /// Its name, with a qualifier after a colon if there is one.
    pub(super) name: String,
}

/// The pattern of a resource policy that says for which requests a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// A pattern of whole names: `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`.
    Name(String),
    /// A pattern of what follows the API in them: `STAGE/METHOD/PATH`.
    WithinApi(String),
    /// Another text. It may be for every request, or for none.
    Unreadable,
}

/// The partitions whose pools have an issuer in `amazonaws.com`.
const PARTITIONS: [&str; 2] = ["aws", "aws-us-gov"];

/// Returns the pool of `arn:aws:cognito-idp:REGION:ACCOUNT:userpool/POOL`.
pub(super) fn pool(arn: &str) -> Option<Pool> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "cognito-idp", region, account, resource] = *parts else {
        return None;
    };
    let id = resource.strip_prefix("userpool/")?;
    let (of_id, name) = id.split_once('_')?;
    let is_region = region
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && region.split('-').count() >= 3;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_account = account.bytes().all(|b| b.is_ascii_digit());
    let is_pool = PARTITIONS.contains(&partition) && is_region && of_id == region && is_name;
    (is_pool && is_account).then(|| Pool {
        id: id.to_owned(),
        issuer: format!("https://cognito-idp.{region}.amazonaws.com/{id}"),
    })
}

/// Returns the pool whose tokens have this `iss`.
pub(super) fn pool_of_issuer(issuer: &str) -> Option<Pool> {
    let rest = issuer.strip_prefix("https://cognito-idp.")?;
    let (region, id) = rest.split_once(".amazonaws.com/")?;
    pool(&format!("arn:aws:cognito-idp:{region}:0:userpool/{id}"))
}

/// Returns the service that an integration's URI calls: `sqs` of
/// `arn:aws:apigateway:REGION:sqs:path/…`. A subdomain may stand before it.
pub(super) fn service(uri: &str) -> Option<&str> {
    let parts: Vec<&str> = uri.split(':').collect();
    let ["arn", _, "apigateway", _, name, ..] = *parts else {
        return None;
    };
    let service = name.rsplit('.').next().unwrap_or(name);
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (!service.is_empty() && service.bytes().all(is_part)).then_some(service)
}

/// Returns the function of an integration's URI: its ARN, or the path of its invocation in the API
/// of Lambda.
pub(super) fn function(uri: &str) -> Option<Function> {
    let arn = match uri.split_once("/functions/") {
        Some((_, rest)) => rest.strip_suffix("/invocations")?,
        None => uri,
    };
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", _, "lambda", _, account, "function", name, rest @ ..] = &*parts else {
        return None;
    };
    let is_part = |text: &str| {
        let is_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !text.is_empty() && text.bytes().all(is_char)
    };
    let qualifier = match rest {
        [] => "",
        ["$LATEST"] => "",
        [qualifier] if is_part(qualifier) => qualifier,
        _ => return None,
    };
    if !is_part(name) || !account.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let name = match qualifier {
        "" => (*name).to_owned(),
        qualifier => format!("{name}:{qualifier}"),
    };
    let account = (*account).to_owned();
    Some(Function { account, name })
}

impl Resource {
    pub(super) fn parse(text: &str) -> Self {
        // A character of control would stand for a value that is not known.
        if text.contains("${") || text.contains(char::is_control) {
            return Self::Unreadable;
        }
        if let Some(rest) = text.strip_prefix("execute-api:/") {
            return Self::WithinApi(rest.to_owned());
        }
        let is_all = !text.is_empty() && text.bytes().all(|b| b == b'*');
        // A name without a path is that of no request.
        let has_path = text.contains(['/', '*']);
        match is_all || text.starts_with("arn:") && has_path {
            true => Self::Name(text.to_owned()),
            false => Self::Unreadable,
        }
    }

    /// Returns the number of its bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Name(text) | Self::WithinApi(text) => text.len(),
            Self::Unreadable => 0,
        }
    }

    /// Returns partition, region and account of a name, where it spells them.
    pub(super) fn owner(&self) -> [Option<&str>; 3] {
        let Self::Name(name) = self else {
            return [None; 3];
        };
        let parts: Vec<&str> = name.split(':').collect();
        let ["arn", partition, "execute-api", region, account, ..] = *parts else {
            return [None; 3];
        };
        let is_word = |text: &&str| {
            let is_char = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !text.is_empty() && text.bytes().all(is_char)
        };
        [partition, region, account].map(|part| Some(part).filter(is_word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_an_issuer() {
        let pool =
            pool("arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbC1").unwrap();
        assert_eq!(pool.id, "eu-west-1_AbC1");
        assert_eq!(
            pool.issuer,
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC1"
        );
        for arn in [
            "",
            "arn:aws:cognito-idp:eu-west-1:1:userpool/",
            "arn:aws:cognito-idp:eu-west-1:1:userpool/us-east-1_AbC1",
            "arn:aws:cognito-idp:eu-west-1:1:userpool/eu-west-1_Ab/C",
            "arn:aws:cognito-idp:evil.example/eu-west-1:1:userpool/evil.example/eu-west-1_A",
            "arn:aws-cn:cognito-idp:cn-north-1:1:userpool/cn-north-1_A",
            "arn:aws:cognito-idp:eu-west-1:x:userpool/eu-west-1_A",
            "arn:aws:cognito-idp:eu-west-1:1:identitypool/eu-west-1_A",
        ] {
            assert_eq!(super::pool(arn), None, "{arn}");
        }
    }

    #[test]
    fn a_resource_of_a_policy_is_a_pattern_or_unreadable() {
        let name = "arn:aws:execute-api:eu-west-1:1:abc/*";
        let parsed = Resource::parse(name);
        assert_eq!(parsed, Resource::Name(name.to_owned()));
        assert_eq!(parsed.owner(), [Some("aws"), Some("eu-west-1"), Some("1")]);
        let starred = Resource::parse("arn:aws:execute-api:*:?:abc/*");
        assert_eq!(starred.owner(), [Some("aws"), None, None]);
        assert_eq!(Resource::parse("*"), Resource::Name("*".to_owned()));
        assert_eq!(
            Resource::parse("execute-api:/dev/GET/p"),
            Resource::WithinApi("dev/GET/p".to_owned())
        );
        for text in [
            "",
            "*/GET/health",
            "${ApiArn}/*/GET/health",
            "execute-api/dev/GET/health",
            "execute-api:dev/GET/health",
            "execute-api:/\0/GET/a",
            "arn:aws:execute-api:eu-west-1:1:abc",
        ] {
            assert_eq!(Resource::parse(text), Resource::Unreadable, "{text:?}");
        }
    }

    #[test]
    fn a_function_has_a_name() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
        let path = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions";
        for (uri, name) in [
            (arn.to_owned(), Some("orders")),
            (format!("{path}/{arn}/invocations"), Some("orders")),
            (
                format!("{path}/{arn}:prod/invocations"),
                Some("orders:prod"),
            ),
            (format!("{path}/{arn}:$LATEST/invocations"), Some("orders")),
            (format!("{path}/{arn}"), None),
            (format!("{arn}:a:b"), None),
            (format!("{arn}:"), None),
            (
                "arn:aws:apigateway:eu-west-1:sqs:path/1/queue".to_owned(),
                None,
            ),
            (format!("{path}/${{x}}/invocations"), None),
        ] {
            let found = function(&uri).map(|function| function.name);
            assert_eq!(found.as_deref(), name, "{uri}");
        }
    }
}
