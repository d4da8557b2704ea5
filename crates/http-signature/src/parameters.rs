//! Covered components and signature parameters (RFC 9421 §2.3), and the signature base (§2.5). `profile` decides which
//! of them are required, and `component` defines the value of a component.

use std::ops::Range;

use crate::component::{self, Component, ComponentError};
use crate::message::Message;
use crate::structured::{BareItem, Parameter, Parser, SyntaxError};

/// The maximum number of components that a signature may cover.
pub const MAX_COMPONENTS: usize = 32;

/// One member of `Signature-Input`: the covered components and the signature parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureParameters<'a> {
    /// The covered components in order, without duplicates.
    pub components: Vec<Component<'a>>,
    /// `created`, `keyid`, …, in the order received, without duplicates.
    pub parameters: Vec<Parameter<'a>>,
}

/// Why a `Signature-Input` cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// Not a structured field in canonical form.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// More than [`MAX_COMPONENTS`].
    #[error("more than {MAX_COMPONENTS} covered components")]
    TooManyComponents,
    /// A component identifier occurs twice (RFC 9421 §2.5).
    #[error("a component is covered twice")]
    DuplicateComponent,
}

impl<'a> SignatureParameters<'a> {
    /// Parses the value of one member: `("@method" "date");created=1618884473;keyid="…"`.
    ///
    /// # Errors
    /// See [`ParametersError`].
    pub fn parse(member: &'a str) -> Result<Self, ParametersError> {
        let mut parser = Parser::new(member);
        let parsed = Self::parse_member(&mut parser)?;
        if parser.at_end() { Ok(parsed) } else { Err(parser.error("the end").into()) }
    }

    pub(crate) fn parse_member(parser: &mut Parser<'a>) -> Result<Self, ParametersError> {
        let mut components: Vec<Component<'a>> = Vec::with_capacity(6);
        parser.inner_list_start()?;
        while parser.inner_list_next()? {
            let mut component = Component::new(parser.string()?);
            parser.parameters(&mut component.parameters)?;
            if components.len() == MAX_COMPONENTS {
                return Err(ParametersError::TooManyComponents);
            }
            if components.iter().any(|earlier| earlier.is_same(&component)) {
                return Err(ParametersError::DuplicateComponent);
            }
            components.push(component);
        }
        let mut parameters = Vec::with_capacity(6);
        parser.parameters(&mut parameters)?;
        Ok(Self { components, parameters })
    }

    /// Returns the value of a signature parameter.
    #[must_use]
    pub fn parameter(&self, key: &str) -> Option<BareItem<'a>> {
        self.parameters.iter().find(|parameter| parameter.key == key).map(|parameter| parameter.value)
    }

    /// Returns whether the component is covered without parameters.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.components.iter().any(|component| component.name == name && component.parameters.is_empty())
    }

    /// Returns the canonical serialisation, which is the value of `@signature-params` and of a `Signature-Input`
    /// member.
    #[must_use]
    pub fn serialize(&self) -> String {
        let mut out = String::new();
        self.serialize_into(&mut out, &mut |_, _| {});
        out
    }

    /// Returns the signature base (RFC 9421 §2.5), the ASCII text that is signed.
    ///
    /// # Errors
    /// The message does not have a covered component, or this crate does not support it.
    pub fn signature_base(&self, message: &Message<'_>) -> Result<String, ComponentError> {
        let mut out = String::with_capacity(768);
        self.write_base(message, &mut out, &mut |_, _| {})?;
        Ok(out)
    }

    /// Appends the base, and calls `place` with the range of each parameter's value in `out`.
    pub(crate) fn write_base(
        &self,
        message: &Message<'_>,
        out: &mut String,
        place: &mut impl FnMut(&str, Range<usize>),
    ) -> Result<(), ComponentError> {
        for component in &self.components {
            component.serialize(out);
            out.push_str(": ");
            component::write_value(component, message, out)?;
            out.push('\n');
        }
        out.push_str("\"@signature-params\": ");
        self.serialize_into(out, place);
        Ok(())
    }

    fn serialize_into(&self, out: &mut String, place: &mut impl FnMut(&str, Range<usize>)) {
        out.push('(');
        for (index, component) in self.components.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            component.serialize(out);
        }
        out.push(')');
        for parameter in &self.parameters {
            let start = out.len() + ";=".len() + parameter.key.len();
            parameter.serialize(out);
            // A parameter with the value `true` is written without a value.
            place(parameter.key, start.min(out.len())..out.len());
        }
    }
}
