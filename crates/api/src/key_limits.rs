//! The limits of a key.

use std::fmt;

use domain::{ProjectId, Timestamp, WorkspaceId};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::ToSchema;

use crate::schema;

/// The limits of a key. They take away from the permissions of its owner. Null limits nothing, and an empty list allows
/// nothing. A change replaces all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct KeyLimits {
    /// What the key may do. `keyward:read` is every GET, `keyward:write` adds projects, `keyward:manage` the rest. The other
    /// scopes are those that the operator declares for the API behind the proxy.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::Scope>>, max_items = 100)]
    pub scopes: Option<Vec<String>>,
    /// The only projects that it reaches. With this limit, it reaches nothing else of a workspace.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::ProjectId>>, max_items = 100)]
    pub projects: Option<Vec<ProjectId>>,
    /// The only workspaces that it reaches. Only keys of users have this limit.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::WorkspaceId>>, max_items = 100)]
    pub workspaces: Option<Vec<WorkspaceId>>,
    /// The only networks that its requests may come from, such as `10.1.0.0/16` or `192.0.2.7/32`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::Cidr>>, max_items = 100)]
    pub cidrs: Option<Vec<String>>,
    /// When it begins to be accepted.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
}

impl Serialize for KeyLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Refuses an array. An empty one would be read as no limits, while an empty list of a limit allows nothing.
impl<'de> Deserialize<'de> for KeyLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = KeyLimits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with limits, or null for none")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyLimits, A::Error> {
                KeyLimits::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
