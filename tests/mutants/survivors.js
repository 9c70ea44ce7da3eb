/**
 * Why no test sees some of the mutants that cargo-mutants makes of the engine. Each reason is for one `mutation`, by the name
 * that cargo-mutants gives it, in a line of `file` that holds the text `at`. `npm run mutants -- --cargo` fails when one that is
 * missed has no reason here, and when a reason is for none.
 */
const SAME = {
  bits: "the two sides have no bit in common",
  fast: "the way for what comes in order is only faster",
  list: "an empty list, or one of a single item, stays as it is either way",
};

export const survivors = [
  {
    file: "../engine.rs",
    mutation: "replace > with >= in Changes::tidy",
    at: "self.updated.len() > 1",
    why: SAME.list,
  },
];
