/** A transparent image of one pixel, by the GIF89a specification; 43 bytes. */
export const PIXEL = Buffer.from(
  [
    '474946383961', // the signature, GIF89a
    '01000100f00000', // a screen of one by one pixel, and a table of two colours:
    '000000000000', // black both
    '21f9040100000000', // the first of which is transparent
    '2c00000000010001000002024401003b', // the image: one pixel of the first colour; the end
  ].join(''),
  'hex',
);
