// Drives the page at ADDRESS, and fails if it does not do what it should: page.js ADDRESS [FOLDER for pictures].
"use strict";

const assert = require("node:assert");
const { chromium } = require("playwright-core");

const [address, folder] = process.argv.slice(2);
const views = [360, 820, 1440].flatMap(width => ["light", "dark"].map(colorScheme => ({ width, colorScheme })));

async function look(browser, { width, colorScheme }) {
  const page = await browser.newPage({ viewport: { width, height: 1000 }, colorScheme });
  const errors = [];
  page.on("console", message => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", error => errors.push(String(error)));
  page.on("request", request => assert(request.url().startsWith(address) || request.url().startsWith("data:"), request.url()));
  await page.goto(address);
  await page.waitForFunction(() => document.getElementById("up").textContent.startsWith("up"));
  await sendByKeyboard(page);
  assert(!(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)), `${width}: it scrolls sideways`);
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("input, select, textarea, button, meter")]
    .filter(field => !field.labels?.length && !field.textContent.trim() && !field.getAttribute("aria-labelledby")).length);
  assert.equal(unnamed, 0, "fields without a name");
  if (folder) await page.screenshot({ path: `${folder}/page-${width}-${colorScheme}.png`, fullPage: true });
  assert.deepEqual(errors, []);
  await page.close();
}

// Behind the two links of the head comes the form: mode, answer, key.
async function sendByKeyboard(page) {
  for (let press = 0; press < 5; press++) await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.name), "key");
  await page.keyboard.type("user-1");
  await page.keyboard.press("Enter");
  await answered(page, "OK");
  await page.waitForFunction(() => document.querySelector("#last .OK"));
}

const answered = (page, state) =>
  page.waitForFunction(state => document.getElementById("answer").textContent.includes(`"state": "${state}"`), state);

async function fail(browser) {
  const page = await browser.newPage();
  await page.goto(address);
  await page.getByRole("button", { name: "Answers come 5 s late" }).click();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await answered(page, "PENDING");
  await page.getByRole("button", { name: "End every fault" }).click();
  await answered(page, "OK");
  await page.close();
}

async function main() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    for (const view of views) await look(browser, view);
    await fail(browser);
  } finally {
    await browser.close();
  }
  console.log(`page: ${views.length} views, an event by keyboard in each, and a fault that ends: OK`);
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
