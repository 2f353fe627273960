import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The server in whose place `npm run dev` stands: requests to the API go through to it.
const server = process.env.TUNERY_SERVER ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/studio/",
  plugins: [react()],
  build: {
    outDir: "../src/tunery/server/studio",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or fonts
    chunkSizeWarningLimit: 600,
  },
  server: { proxy: { "/v1beta": server, "/signin": server, "/signout": server, "/setup": server } },
  test: { environment: "happy-dom", include: ["tests/**/*.test.{ts,tsx}"] },
});
