/** Filters as the playground explains them: what is wrong with one, and what it matches. Pure. */

/** The limits of `proto/PROTOCOL.md`. */
const BYTES_MAX = 255;
const TOKENS_MAX = 16;

/** Why an edge would refuse a filter, for people; undefined for a good one. */
export function mistake(filter: string): string | undefined {
  const tokens = filter.split(".");
  if (filter === "") return "Empty: name at least one token, such as demo.";
  if (new TextEncoder().encode(filter).length > BYTES_MAX) {
    return `Longer than ${BYTES_MAX} bytes: shorten it.`;
  }
  if (/[\s\x85\p{Cc}]/u.test(filter)) return "A space or control character: subjects have none.";
  if (tokens.includes("")) return "An empty token: remove the extra dot.";
  if (tokens.length > TOKENS_MAX) return `More than ${TOKENS_MAX} tokens: use fewer dots.`;
  const partial = tokens.find((token) => token.length > 1 && /[*>]/.test(token));
  if (partial !== undefined) {
    return `“${partial}” mixes a wildcard with letters: * and > stand alone between dots.`;
  }
  const last = tokens.length - 1;
  const early = tokens.indexOf(">");
  if (early >= 0 && early < last) {
    return "> stands for everything that follows, so it may only be the last token.";
  }
  const [first] = tokens as [string];
  if (first === "*" || first === ">") {
    return "The first token must be a name: a wildcard there would cover subjects of the system.";
  }
  if (/^[$_]/.test(first)) return "Subjects that begin with $ or _ belong to the system.";
  return undefined;
}

/** Whether a message on a subject reaches a subscriber of a good filter. */
export function matches(filter: string, subject: string): boolean {
  const tokens = subject.split(".");
  const wanted = filter.split(".");
  if (wanted[wanted.length - 1] === ">") {
    if (tokens.length < wanted.length) return false;
    wanted.pop();
  } else if (tokens.length !== wanted.length) {
    return false;
  }
  return wanted.every((token, at) => token === "*" || token === tokens[at]);
}
