import { beforeEach, expect, test, vi } from "vitest";
import { SEEN, signOut } from "../src/api/account";

const left = vi.fn();

beforeEach(() => {
  vi.stubGlobal("location", { assign: left });
  sessionStorage.setItem("tunery-draft", "rows");
  localStorage.setItem(SEEN, '["tunedModels/tickets"]');
  localStorage.setItem("tunery-theme", "dark");
});

test("signing out forgets what the browser has of the user, and keeps the theme", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response()));
  await signOut();
  expect(sessionStorage.length).toBe(0);
  expect({ ...localStorage }).toEqual({ "tunery-theme": "dark" });
  expect(left).toHaveBeenCalledWith("/studio/");
});

test("it forgets without the server, too", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no connection")));
  await expect(signOut()).rejects.toThrow("no connection");
  expect(sessionStorage.length).toBe(0);
  expect(localStorage.getItem(SEEN)).toBeNull();
});
