/** Base64 of the standard alphabet, as payloads of bytes have in JSON. */

/** `String.fromCharCode` takes its bytes as arguments, and engines limit how many. */
const CHUNK_BYTES = 8192;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES));
  }
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
