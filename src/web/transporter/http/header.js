// What may stand in a header: validated, because a browser throws at the rest.

/** Whether this is a token (RFC 9110, section 5.6.2), as header names and methods must be. */
export const isToken = (name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name);

/** Whether this can be a header's value (RFC 9110, section 5.5): visible Latin-1, spaces and tabs within. */
export const isValue = (value) => /^(?![\t ])[\t -~\xa0-\xff]*(?<![\t ])$/.test(value);
