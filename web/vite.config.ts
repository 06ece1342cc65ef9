// How the page is built: hashed names, nothing inlined (the Content-Security-Policy allows no inline script or style).
import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
  // What the page has to know it reads from /config.json; a file of variables would make builds differ.
  envDir: false,
  build: {
    target: "es2024",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
});
