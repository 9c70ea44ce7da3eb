import js from "@eslint/js";
import globals from "globals";

const rules = {
  eqeqeq: ["error", "always", { null: "ignore" }],
  "no-console": ["error", { allow: ["warn", "error"] }],
  "no-else-return": "error",
  "no-implicit-coercion": ["error", { allow: ["!!"] }],
  "no-param-reassign": "error",
  "no-restricted-properties": ["error", { property: "__proto__", message: "It sets the prototype." }],
  "no-self-compare": "error",
  "no-shadow": "error",
  "no-template-curly-in-string": "error",
  "no-throw-literal": "error",
  "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
  "no-useless-rename": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  "prefer-promise-reject-errors": "error",
  radix: "error",
};

export default [
  {
    ignores: ["node_modules/", "target/", "pkg/index.js", "pkg/session.js", "pkg/wasm/", "test-results/", "www/data/"],
  },
  { ...js.configs.recommended, linterOptions: { reportUnusedDisableDirectives: "error" } },
  { rules },
  // The package runs in browsers, workers and Node: only what all of them know.
  { files: ["pkg/**/*.js", "src/**/*.js"], languageOptions: { globals: globals["shared-node-browser"] } },
  // The scripts of the wasm shell throw to Rust, which makes the error: plain {code, message} objects.
  { files: ["src/**/*.js"], rules: { "no-throw-literal": "off" } },
  { files: ["www/**/*.js", "examples/browser-login/page.js"], languageOptions: { globals: { ...globals.browser } } },
  { files: ["www/**/sw.js", "www/**/service-worker.js"], languageOptions: { globals: globals.serviceworker } },
  // Tests and benches hold both programs of Node and functions that they hand to a page.
  {
    files: ["tests/**/*.js", "benches/**/*.js"],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
    rules: { "no-console": "off" },
  },
  {
    files: ["scripts/**/*.js", "examples/**/*.js", "www/server.js", "www/server/**/*.js", "*.js"],
    languageOptions: { globals: globals.node },
    rules: { "no-console": "off" },
  },
];
