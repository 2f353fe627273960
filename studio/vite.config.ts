import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The server in whose place `npm run dev` stands: requests to the API go through to it.
const server = process.env.TUNERY_SERVER ?? "http://127.0.0.1:8000";

const OUTPUT = "../src/tunery/server/studio";

/** Writes `x.br` and `x.gz` beside each script and style; the server sends what the browser accepts. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  closeBundle() {
    const folder = join(OUTPUT, "assets");
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      const content = readFileSync(file);
      writeFileSync(`${file}.br`, brotliCompressSync(content));
      writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
    }
  },
};

export default defineConfig({
  base: "/studio/",
  plugins: [react(), compressed],
  build: {
    outDir: OUTPUT,
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or fonts
    chunkSizeWarningLimit: 600,
  },
  server: { proxy: { "/v1beta": server, "/signin": server, "/signout": server, "/setup": server } },
  test: { environment: "happy-dom", include: ["tests/**/*.test.{ts,tsx}"] },
});
