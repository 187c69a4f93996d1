// Tests of what happens between request and answer: batching, stale answers, long poll, idle count, storage,
// errors.
import { describe, expect, it, vi } from "vitest";
import { createActivity } from "./activity";
import { ApiError, buildUrl, createApi, downloadUrl, isLocalUrl, type Schema } from "./api";
import { createChartLoader, type LineCall } from "./chart-loader";
import { createLatest } from "./latest";
import { backoff, followLive } from "./live";
import { createSettings, isFiniteNumber } from "./storage";

const request = {
  ...{ entity: "e", project: "p", run: "r", key: "a", x: "_step" },
  ...{ segment: null, zoom: null, since: null, points: 10, steps: false },
};

describe("the chart loader", () => {
  it("asks for many runs and many keys in one request", async () => {
    const calls: LineCall[] = [];
    const loader = createChartLoader({
      fetch: (call) => {
        calls.push(call);
        const pairs = call.runs.flatMap((run) => call.keys.map((key) => ({ run, key })));
        return Promise.resolve(
          pairs
            .filter(({ key }) => key !== "absent")
            .map((each) => ({ ...each, kind: "points" as const, axis: "_step", x: new Float64Array(1), y: new Float64Array(1) })),
        );
      },
      defer: (work) => setTimeout(work),
      pointsPerCall: 40,
    });
    const found = await Promise.all([
      loader.load(request),
      loader.load({ ...request, key: "absent" }),
      loader.load(request),
      loader.load({ ...request, run: "other" }),
      loader.load({ ...request, run: "other", key: "absent" }),
      loader.load({ ...request, key: "c" }),
      loader.load({ ...request, segment: "s" }),
      loader.load({ ...request, since: 3 }),
      loader.load({ ...request, run: "other", since: 3 }),
    ]);
    expect(calls.map((call) => [call.runs, call.keys, call.segment, call.since])).toEqual([
      [["r", "other"], ["a", "absent"], null, null],
      [["r"], ["c"], null, null],
      [["r"], ["a"], "s", null],
      [["r"], ["a"], null, 3],
      [["other"], ["a"], null, 3],
    ]);
    expect(found.map((series) => series?.key)).toEqual(["a", undefined, "a", "a", undefined, "c", "a", "a", "a"]);
  });

  it("asks for the lines of 500 runs in one request, and divides many keys", async () => {
    const sizes: number[] = [];
    const loader = createChartLoader({
      fetch: ({ runs, keys }) => {
        sizes.push(runs.length * keys.length);
        return Promise.resolve([]);
      },
      defer: (work) => setTimeout(work),
    });
    const runs = Array.from({ length: 500 }, (_, i) => `r${i}`);
    await Promise.all(runs.map((run) => loader.load({ ...request, run, points: 500 })));
    expect(sizes).toEqual([500]);
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
    await Promise.all(keys.flatMap((key) => runs.slice(0, 10).map((run) => loader.load({ ...request, run, key, points: 1000 }))));
    expect(sizes.slice(1)).toEqual([250, 150]);
  });

  it("sends what was collected at once on request", async () => {
    const calls: string[][] = [];
    const loader = createChartLoader({
      fetch: ({ keys }) => {
        calls.push(keys);
        return Promise.resolve([]);
      },
      defer: () => undefined,
    });
    const found = Promise.all([loader.load(request), loader.load({ ...request, key: "b" })]);
    expect(calls).toEqual([]);
    loader.flush();
    expect(calls).toEqual([["a", "b"]]);
    await expect(found).resolves.toEqual([null, null]);
  });

  it("reports a failed call to all callers and continues", async () => {
    let failing = true;
    const loader = createChartLoader({
      fetch: () => (failing ? Promise.reject(new Error("no")) : Promise.resolve([])),
      defer: (work) => setTimeout(work),
      callsAtOnce: 1,
    });
    await expect(loader.load(request)).rejects.toThrow("no");
    failing = false;
    await expect(loader.load(request)).resolves.toBeNull();
  });
});

it("drops the stale answer and aborts its request", async () => {
  const latest = createLatest();
  let first: AbortSignal | undefined;
  const slow = latest.run((signal) => {
    first = signal;
    return new Promise((resolve) => setTimeout(() => resolve("old"), 20));
  });
  const fast = latest.run(() => Promise.resolve("new"));
  expect(await fast).toBe("new");
  expect(await slow).toBeUndefined();
  expect(first?.aborted).toBe(true);
});

describe("the long poll", () => {
  it("continues from the last revision, reports repeated failures, and backs off", async () => {
    const stop = new AbortController();
    const asked: (number | undefined)[] = [];
    const timeouts: number[] = [];
    const connection: boolean[] = [];
    const pauses: number[] = [];
    const changed: Schema<"RunName">[][] = [];
    const run = { entity: "e", project: "p", id: "r" };
    const gone = { ...run, id: "gone" };
    const answers = [() => ({ revision: 5, runs: [], removed: [] }), null, null, () => ({ revision: 6, runs: [run], removed: [gone] })];
    await followLive(
      {
        poll: (since, timeout) => {
          asked.push(since);
          timeouts.push(timeout);
          const answer = answers.shift();
          if (answer === undefined) stop.abort();
          return answer ? Promise.resolve(answer()) : Promise.reject(new Error("down"));
        },
        onChange: (runs) => changed.push(runs),
        onConnection: (up) => connection.push(up),
        pause: (ms) => {
          pauses.push(ms);
          return Promise.resolve();
        },
        now: () => 0,
      },
      stop.signal,
      undefined,
    );
    expect(asked).toEqual([undefined, 5, 5, 5, 6]);
    // After a failure the server answers at once, so that the page learns that it is back.
    expect(timeouts).toEqual([25, 25, 0, 0, 25]);
    expect(connection).toEqual([true, false, true]);
    expect(pauses).toEqual([1000, 1000, 2000, 1000]);
    expect(changed).toEqual([[run, gone]]);
    expect(backoff(20)).toBe(2000);
  });
});

it("is idle when no work is pending", async () => {
  const activity = createActivity();
  const end = activity.begin();
  const idle = vi.fn();
  const waiting = activity.idle(5).then(idle);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(idle).not.toHaveBeenCalled();
  end();
  end();
  await waiting;
  expect(activity.pending()).toBe(0);
});

it("is not idle before delayed work is done, and before the page is drawn", async () => {
  const seen: string[] = [];
  const drawn = () => Promise.resolve(void seen.push("drawn"));
  const activity = createActivity(drawn);
  activity.later(() => seen.push("work"), 20);
  activity.later(() => seen.push("cancelled"), 0)();
  await activity.idle(5);
  expect(seen.indexOf("work")).toBeGreaterThan(-1);
  expect(seen.at(-1)).toBe("drawn");
  expect(seen).not.toContain("cancelled");
});

it("keeps settings in memory when storage is refused", () => {
  const settings = createSettings(() => {
    throw new Error("denied");
  });
  expect(settings.read("n", 1, isFiniteNumber)).toBe(1);
  settings.write("n", 2);
  expect(settings.read("n", 1, isFiniteNumber)).toBe(2);
  expect(createSettings(() => ({ getItem: () => "{broken", setItem: () => undefined })).read("n", 7, isFiniteNumber)).toBe(7);
});

describe("the client", () => {
  const answering = (status: number, body: string) => (_url: string) => Promise.resolve(new Response(body, { status }));

  it("encodes each path segment and omits absent parameters", () => {
    expect(buildUrl(["projects", "a/b", "c d"], { limit: 1, search: undefined }, [["key", "x/y"]])).toBe(
      "/api/v1/projects/a%2Fb/c%20d?key=x%2Fy&limit=1",
    );
  });

  it("turns every failure into one error", async () => {
    const shaped = createApi({ fetch: answering(404, '{"status":404,"code":"not_found","detail":"No run x."}') });
    const expected = { status: 404, code: "not_found", message: "No run x." };
    await expect(shaped.run("e", "p", "x")).rejects.toMatchObject(expected);
    const proxy = createApi({ fetch: answering(502, "<html>") });
    await expect(proxy.projects()).rejects.toMatchObject({ status: 502, code: "http_error" });
    const down = createApi({ fetch: () => Promise.reject(new TypeError("failed")) });
    await expect(down.projects()).rejects.toBeInstanceOf(ApiError);
  });

  it("reports a missing key, but not a wrong key", async () => {
    const onSignedOut = vi.fn();
    const api = createApi({ fetch: answering(401, "{}"), onSignedOut });
    await expect(api.signIn({ key: "local-x" })).rejects.toMatchObject({ status: 401 });
    expect(onSignedOut).not.toHaveBeenCalled();
    await expect(api.projects()).rejects.toMatchObject({ status: 401 });
    expect(onSignedOut).toHaveBeenCalledOnce();
  });

  it("loads the files of an artifact in pages, and only from this server", async () => {
    const asked: string[] = [];
    const api = createApi({
      fetch: (url) => {
        asked.push(url);
        return Promise.resolve(new Response('{"total": 5, "files": []}'));
      },
    });
    const detail = { files_url: "/api/v1/projects/e/p/artifacts/a/v0/files" } as Schema<"LinkedVersion">;
    expect(await api.artifactFiles(detail, 200, 100)).toEqual({ total: 5, files: [] });
    expect(asked).toEqual(["/api/v1/projects/e/p/artifacts/a/v0/files?offset=200&limit=100"]);
    expect(() => api.artifactFiles({ ...detail, files_url: "//evil/files" }, 0, 1)).toThrow(ApiError);
  });

  it("links to this server only", () => {
    expect(["/api/v1/x", "//evil", "/\\evil", "https://evil", "javascript:x", 3].map(isLocalUrl)).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
    expect(downloadUrl("/a?b=1")).toBe("/a?b=1&download=1");
  });
});
