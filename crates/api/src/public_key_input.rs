//! A public key in a request: text in any format, or a JWK as a JSON object.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use utoipa::openapi::{
    OneOfBuilder, RefOr, Schema,
    schema::{AdditionalProperties, ObjectBuilder, Type},
};

/// Reads the text, or the JSON text of the object. A duplicate member is refused, as in the text of a JWK.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(PublicKeyInput)
}

struct PublicKeyInput;

impl<'de> Visitor<'de> for PublicKeyInput {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a public key as text, or a JWK as an object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<String, A::Error> {
        let mut jwk = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if jwk.insert(name, value).is_some() {
                return Err(Error::custom("a member of the JWK in `public_key` is given twice"));
            }
        }
        Ok(Value::Object(jwk).to_string())
    }
}

/// Returns the schema of the accepted values.
pub(crate) fn schema() -> RefOr<Schema> {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("An OpenSSH line, an RFC 4716 or PEM block, or a JWK as text."));
    let jwk = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("A JWK of a public key (RFC 7517)."))
        .property("kty", ObjectBuilder::new().schema_type(Type::String))
        .required("kty")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)));
    let one_of = OneOfBuilder::new().item(text).item(jwk);
    let description = "An OpenSSH line, an RFC 4716 or PEM block, or a JWK, which may be an object or its text.";
    one_of.description(Some(description)).into()
}

#[cfg(test)]
mod tests {
    use crate::CreateApiKey;

    fn read(public_key: &str) -> Result<String, String> {
        let body = format!(r#"{{"title":"laptop","public_key":{public_key}}}"#);
        serde_json::from_str(&body).map(|create: CreateApiKey| create.public_key).map_err(|error| error.to_string())
    }

    #[test]
    fn text_is_kept_and_an_object_becomes_text() {
        assert_eq!(read(r#""ssh-ed25519 AAAA me""#), Ok("ssh-ed25519 AAAA me".to_owned()));
        assert_eq!(read(r#"{ "kty": "OKP", "x": "11qY" }"#), Ok(r#"{"kty":"OKP","x":"11qY"}"#.to_owned()));
        for refused in ["[]", "1", "null", "true"] {
            let error = read(refused).unwrap_err();
            assert!(error.contains("expected a public key as text, or a JWK as an object"), "{error}");
        }
        let twice = read(r#"{"kty":"OKP","x":"11qY","x":"11qZ"}"#).unwrap_err();
        assert!(twice.contains("given twice"), "{twice}");
    }
}
