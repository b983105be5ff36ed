/** Base64 of the standard alphabet, as payloads of bytes have in JSON. */

/** Byte by byte: a command holds 64 KiB at most. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
