//! Where the real servers are, as `.ci/real` tells it in the environment.

use backstay::BoxError;
use std::{env, fs, path::PathBuf};

/// Programs, and the models that one of them serves.
pub(crate) struct Programs {
    pub(crate) llama: String,
    pub(crate) tiny: String,
    pub(crate) small: String,
    pub(crate) chroma: String,
    pub(crate) milvus: String,
    pub(crate) gateway: String,
    pub(crate) nft: String,
    data: PathBuf,
}

// === impl Programs ===

impl Programs {
    /// # Errors
    ///
    /// Names the first that is missing.
    pub(crate) fn from_environment() -> Result<Self, BoxError> {
        Ok(Self {
            llama: named("REAL_LLAMA_SERVER")?,
            tiny: named("REAL_TINY_MODEL")?,
            small: named("REAL_SMALL_MODEL")?,
            chroma: named("REAL_CHROMA")?,
            milvus: named("REAL_MILVUS_LITE")?,
            gateway: named("REAL_GATEWAY")?,
            nft: named("REAL_NFT")?,
            data: named("REAL_DATA")?.into(),
        })
    }

    /// An empty folder for what a server keeps.
    pub(crate) fn folder(&self, name: &str) -> Result<String, BoxError> {
        let folder = self.data.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder
            .to_str()
            .ok_or("a path that is not Unicode")?
            .to_owned())
    }
}

fn named(name: &str) -> Result<String, BoxError> {
    env::var(name).map_err(|_| format!("{name} is not set; run `.ci/real`").into())
}
