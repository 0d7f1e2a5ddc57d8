/** Makes a PNG smaller, by fewer colours: node shrink.js FROM TO */
import process from 'node:process';
import sharp from 'sharp';

const [from, to] = process.argv.slice(2);
await sharp(from).png({ palette: true, colours: 64, dither: 0, effort: 10, compressionLevel: 9 }).toFile(to);
