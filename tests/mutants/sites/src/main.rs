//! Where in a source the parts of an expression are, which a mutant behind a switch has to keep apart.
//!
//! `sites FILE…` prints a line for each operator, match arm and field of a struct expression with a base: the file, where
//! cargo-mutants says that it is, the genre, and from where to where its parts reach, as `LINE:COLUMN`, counted from 1.

use std::{env, error::Error, fs};

use proc_macro2::{LineColumn, Span};
use syn::{
    Arm, ExprBinary, ExprStruct, ExprUnary, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

fn main() -> Result<(), Box<dyn Error>> {
    for path in env::args().skip(1) {
        let file = syn::parse_file(&fs::read_to_string(&path)?)?;
        Sites { path }.visit_file(&file);
    }
    Ok(())
}

struct Sites {
    path: String,
}

impl Sites {
    fn print(&self, kind: &str, at: Span, parts: &[Span]) {
        let parts: Vec<_> =
            parts.iter().map(|part| format!(" {} {}", place(part.start()), place(part.end()))).collect();
        println!("{} {} {kind}{}", self.path, place(at.start()), parts.concat());
    }
}

fn place(at: LineColumn) -> String {
    format!("{}:{}", at.line, at.column + 1)
}

impl<'ast> Visit<'ast> for Sites {
    /// The two operands.
    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        self.print("BinaryOperator", binary.op.span(), &[binary.left.span(), binary.right.span()]);
        visit::visit_expr_binary(self, binary);
    }

    /// The operator and its operand.
    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        if let UnOp::Not(_) | UnOp::Neg(_) = unary.op {
            self.print("UnaryOperator", unary.op.span(), &[unary.op.span(), unary.expr.span()]);
        }
        visit::visit_expr_unary(self, unary);
    }

    /// The pattern, and the guard if it has one.
    fn visit_arm(&mut self, arm: &'ast Arm) {
        match &arm.guard {
            Some((_, guard)) => {
                self.print("MatchArm", arm.span(), &[arm.pat.span(), guard.span()]);
                self.print("MatchArmGuard", guard.span(), &[guard.span()]);
            }
            None => self.print("MatchArm", arm.span(), &[arm.pat.span()]),
        }
        visit::visit_arm(self, arm);
    }

    /// The field's name, its value and the base.
    fn visit_expr_struct(&mut self, made: &'ast ExprStruct) {
        if let Some(base) = &made.rest {
            for field in &made.fields {
                self.print("StructField", field.span(), &[field.member.span(), field.expr.span(), base.span()]);
            }
        }
        visit::visit_expr_struct(self, made);
    }
}
