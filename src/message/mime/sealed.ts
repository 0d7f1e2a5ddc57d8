/** RFC 1847, RFC 8551, RFC 3156: media types whose content, whatever is changed in it, is broken. */
const SEALED_TYPE =
  /^(?:multipart\/(?:signed|encrypted)|application\/(?:(?:x-)?pkcs7-(?:mime|signature)|pgp-(?:encrypted|signature)))$/;
const PGP = [Buffer.from('-----BEGIN PGP MESSAGE-----'), Buffer.from('-----BEGIN PGP SIGNED MESSAGE-----')];

/** RFC 6376 and RFC 8617: header fields with a hash of the body, and of other fields. */
export const SEALING_FIELDS = ['DKIM-Signature', 'ARC-Message-Signature'];

/** Whether what is in a part of that type is signed or encrypted. @param type in lower case */
export function isSealedType(type: string): boolean {
  return SEALED_TYPE.test(type);
}

/** PGP in the text itself (RFC 9580 section 6.2). */
export function hasPgpText(content: Buffer): boolean {
  return PGP.some(marker => content.includes(marker));
}
