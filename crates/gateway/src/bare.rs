//! Answers that hyper gives itself, to what it cannot read as a request: they get the body that every other error has.
//!
//! In: what hyper writes. Out: the same, but for a head of an error without a body, which becomes a problem (RFC 9457). Nothing else that is answered
//! here is an error without a body. Deliberately absent: the choice of the status, which is hyper's.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::problem;

/// A connection on which no error is without a body.
pub(crate) struct Bodied<S, F> {
    stream: S,
    /// The body of an error with this status, if it is to have one.
    body: F,
    /// What is written in the place of hyper's answer, and how much of it is.
    instead: Vec<u8>,
    written: usize,
}

impl<S, F> Bodied<S, F> {
    pub(crate) fn new(stream: S, body: F) -> Self {
        Self { stream, body, instead: Vec::new(), written: 0 }
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(u16) -> Option<Vec<u8>>> Bodied<S, F> {
    /// Takes a bare answer, and has the other written in its place.
    fn takes(&mut self, bytes: &[u8]) -> bool {
        let Some((status, end)) = bare(bytes) else { return false };
        let Some(body) = (self.body)(status) else { return false };
        self.instead = with_body(&bytes[..end], &body);
        self.written = 0;
        true
    }

    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.instead.len() {
            let rest = &self.instead[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for Bodied<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(u16) -> Option<Vec<u8>> + Unpin> AsyncWrite for Bodied<S, F> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        if self.takes(bytes) {
            Poll::Ready(Ok(bytes.len()))
        } else {
            Pin::new(&mut self.stream).poll_write(context, bytes)
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        match parts.first() {
            Some(first) if self.takes(first) => Poll::Ready(Ok(first.len())),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

const END: &[u8] = b"\r\n\r\n";
const NO_BODY: &str = "content-length: 0";

/// The status of an error without a body, and where its head ends before the empty line, if that is all there is.
fn bare(bytes: &[u8]) -> Option<(u16, usize)> {
    // Most that is written is something else.
    let rest = bytes.strip_prefix(b"HTTP/1.1 4").or_else(|| bytes.strip_prefix(b"HTTP/1.0 4"))?;
    let head = str::from_utf8(bytes.strip_suffix(END)?).ok()?;
    let is_all = !head.contains("\r\n\r\n") && head.split("\r\n").any(|line| line.eq_ignore_ascii_case(NO_BODY));
    let digits = str::from_utf8(rest.get(..2)?).ok()?;
    is_all.then_some((400 + digits.parse::<u16>().ok()?, head.len()))
}

/// The same head with a body.
fn with_body(head: &[u8], body: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n").filter(|line| !line.eq_ignore_ascii_case(NO_BODY));
    let mut answer = lines.collect::<Vec<_>>().join("\r\n");
    answer.push_str(&format!("\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n", problem::MEDIA_TYPE, body.len()));
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const BARE: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn only_an_error_without_a_body_is_bare() {
        assert_eq!(bare(BARE).map(|(status, _)| status), Some(431));
        let others: [&[u8]; 7] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\nx",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 00\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 4",
            b"HTTP/1.1 4xx\r\ncontent-length: 0\r\n\r\n",
            b"{\"a\": 4}",
        ];
        for other in others {
            assert_eq!(bare(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[tokio::test]
    async fn a_bare_error_gets_a_body_however_little_is_taken_at_once() {
        for capacity in [1, 7, 4_096] {
            let (client, server) = tokio::io::duplex(capacity);
            let mut server = Bodied::new(server, |status| (status == 431).then(|| b"{}".to_vec()));
            let written = tokio::spawn(async move {
                server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                server.write_all(BARE).await.unwrap();
                server.shutdown().await.unwrap();
            });
            let mut text = String::new();
            let mut client = client;
            client.read_to_string(&mut text).await.unwrap();
            written.await.unwrap();
            let expected = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 431 Request Header Fields Too Large\r\n\
                Connection: close\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\n\r\n{}";
            assert_eq!(text, expected);
        }
    }
}
