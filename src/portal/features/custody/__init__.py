"""The end of evidence: a case is shredded, and a signed receipt says what was destroyed and what that cannot prove."""
